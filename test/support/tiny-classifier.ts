import { makeModel, makeNode, makeTensor, makeValueInfo } from '../../src/onnx/build.ts';
import { encodeOnnx } from '../../src/onnx/writer.ts';

export interface TinyClassifierOptions {
  readonly size: number;
  /** [3][C]: the score of class c is the sum over colours of mean pixel × weight, plus bias. */
  readonly weights: readonly (readonly number[])[];
  readonly bias: readonly number[];
  readonly batch?: number | string;
  readonly endsInSoftmax?: boolean;
}

/** ONNX bytes of GlobalAveragePool → Flatten → Gemm: class scores that can be worked out by hand. */
export function tinyClassifier(options: TinyClassifierOptions): Uint8Array {
  const { size, weights, bias, batch = 'N', endsInSoftmax = false } = options;
  const classCount = bias.length;
  const scores = endsInSoftmax ? 'scores' : 'logits';
  return encodeOnnx(
    makeModel({
      graphName: 'tiny-classifier',
      opset: 17,
      inputs: [makeValueInfo('input', [batch, 3, size, size])],
      outputs: [makeValueInfo('logits', [batch, classCount])],
      initializers: [
        makeTensor('weights', [3, classCount], Float32Array.from(weights.flat())),
        makeTensor('bias', [classCount], Float32Array.from(bias)),
      ],
      nodes: [
        makeNode({
          opType: 'GlobalAveragePool',
          name: 'pool',
          inputs: ['input'],
          outputs: ['pooled'],
        }),
        makeNode({ opType: 'Flatten', name: 'flatten', inputs: ['pooled'], outputs: ['flat'] }),
        makeNode({
          opType: 'Gemm',
          name: 'dense',
          inputs: ['flat', 'weights', 'bias'],
          outputs: [scores],
        }),
        ...(endsInSoftmax
          ? [
              makeNode({
                opType: 'Softmax',
                name: 'softmax',
                inputs: ['scores'],
                outputs: ['logits'],
              }),
            ]
          : []),
      ],
    }),
  );
}
