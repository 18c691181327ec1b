import { makeTensor, makeModel, makeNode, makeValueInfo } from '../../src/onnx/build.ts';
import { graphOf, type OnnxModel } from '../../src/onnx/model.ts';
import { createRandom } from '../../src/numeric/random.ts';
import { normalValues } from './quantize-one.ts';
import { writeShardFixture } from './image-shards-fixture.ts';

export const TINY_SIZE = 16;

/** Conv, Relu, depthwise Conv, Clip, pool, Gemm over [N, 3, size, size] with random weights. */
export function tinyConvnet(batch: number | string = 'N', size = TINY_SIZE): OnnxModel {
  return makeModel({
    graphName: 'tiny-convnet',
    opset: 17,
    inputs: [makeValueInfo('input', [batch, 3, size, size])],
    outputs: [makeValueInfo('logits', [batch, 4])],
    initializers: [
      makeTensor('w1', [16, 3, 3, 3], normalValues('w1', 432, 0.4)),
      makeTensor('b1', [16], normalValues('b1', 16, 0.1)),
      makeTensor('w2', [16, 1, 3, 3], normalValues('w2', 144, 0.4)),
      makeTensor('b2', [16], normalValues('b2', 16, 0.1)),
      makeTensor('zero', [], Float32Array.of(0)),
      makeTensor('six', [], Float32Array.of(6)),
      makeTensor('w3', [4, 16], normalValues('w3', 64)),
      makeTensor('b3', [4], normalValues('b3', 4)),
    ],
    nodes: [
      makeNode({
        opType: 'Conv',
        name: 'first',
        inputs: ['input', 'w1', 'b1'],
        outputs: ['c1'],
        attributes: { strides: [2, 2], pads: [1, 1, 1, 1] },
      }),
      makeNode({ opType: 'Relu', name: 'relu', inputs: ['c1'], outputs: ['r1'] }),
      makeNode({
        opType: 'Conv',
        name: 'depthwise',
        inputs: ['r1', 'w2', 'b2'],
        outputs: ['c2'],
        attributes: { group: 16, pads: [1, 1, 1, 1] },
      }),
      makeNode({ opType: 'Clip', name: 'clip', inputs: ['c2', 'zero', 'six'], outputs: ['r2'] }),
      makeNode({ opType: 'GlobalAveragePool', name: 'pool', inputs: ['r2'], outputs: ['p'] }),
      makeNode({ opType: 'Flatten', name: 'flatten', inputs: ['p'], outputs: ['f'] }),
      makeNode({
        opType: 'Gemm',
        name: 'dense',
        inputs: ['f', 'w3', 'b3'],
        outputs: ['logits'],
        attributes: { transB: 1 },
      }),
    ],
    metadata: { 'drq.classes': '["a","b","c","d"]' },
  });
}

/** The same network over [N, size, size, 3], as TensorFlow's exporters leave it. */
export function tinyConvnetNhwc(): OnnxModel {
  const model = tinyConvnet();
  const graph = graphOf(model);
  graph.input = [makeValueInfo('image', ['N', TINY_SIZE, TINY_SIZE, 3])];
  graph.node.unshift(
    makeNode({
      opType: 'Transpose',
      name: 'channels-first',
      inputs: ['image'],
      outputs: ['input'],
      attributes: { perm: [0, 3, 1, 2] },
    }),
  );
  return model;
}

/** `count` training images of seeded noise, each with a replica that calibration must leave out. */
export async function writeNoiseShards(folder: string, count: number): Promise<void> {
  const random = createRandom(3, 'noise');
  const train = Array.from({ length: 2 * count }, (_, i) => ({
    entry: { id: `image-${Math.floor(i / 2)}`, label: 0, copy: i % 2 },
    pixels: Uint8Array.from({ length: TINY_SIZE * TINY_SIZE * 3 }, () => random.integer(256)),
  }));
  await writeShardFixture(folder, {
    size: TINY_SIZE,
    classes: ['a', 'b', 'c', 'd'],
    imagesPerShard: 8,
    splits: { train },
  });
}
