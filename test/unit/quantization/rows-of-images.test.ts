import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeIntegers, makeTensor, makeValueInfo, type NodeSpec } from '../../../src/onnx/build.ts';
import { graphOf, type OnnxModel } from '../../../src/onnx/model.ts';
import { calibrate } from '../../../src/quantization/calibrate.ts';
import { correctLayers } from '../../../src/quantization/corrections/correct-layers.ts';
import { observeActivations } from '../../../src/quantization/observe-activations.ts';
import { prepareModel } from '../../../src/quantization/prepare-model.ts';
import { planQuantization } from '../../../src/quantization/quantization-plan.ts';
import { writeColouredShards } from '../../support/coloured-shards.ts';
import { nodeSpec, normalTensor, smallModel } from '../../support/quantize-one.ts';
import { temporaryFolder } from '../../support/stage-context.ts';

const SIZE = 8;
const CLASSES = 5;

/** A linear layer on each place of an image, whose rows are the places of all images of a batch. */
function placesModel(between: readonly NodeSpec[] = []): OnnxModel {
  const model = smallModel({
    nodes: [
      nodeSpec('Conv', ['input', 'w'], 'c'),
      ...between,
      nodeSpec('Transpose', [between.at(-1)?.outputs[0] ?? 'c'], 'last', { perm: [0, 2, 3, 1] }),
      nodeSpec('Reshape', ['last', 'rows'], 'r'),
      nodeSpec('Gemm', ['r', 'm', 'b'], 'g'),
      nodeSpec('Relu', ['g'], 'places'),
      nodeSpec('Gemm', ['places', 'n'], 'h'),
      nodeSpec('Reshape', ['h', 'scores'], 'y'),
    ],
    tensors: [
      normalTensor('w', [8, 3, 1, 1]),
      makeIntegers('rows', [-1, 8]),
      normalTensor('m', [8, 6]),
      normalTensor('b', [6]),
      normalTensor('n', [6, CLASSES]),
      makeIntegers('scores', [-1, SIZE * SIZE * CLASSES]),
      makeTensor('zero', [], Float32Array.of(0)),
      makeTensor('always', [1], Float32Array.of(1)),
    ],
    input: [1, 3, SIZE, SIZE],
    output: 'y',
  });
  graphOf(model).input = [makeValueInfo('input', ['N', 3, SIZE, SIZE])];
  return prepareModel(model);
}

async function passOver(t: Parameters<typeof temporaryFolder>[0]) {
  const scratchPath = await temporaryFolder(t);
  await writeColouredShards(scratchPath, { size: SIZE, imagesPerClass: { train: 8 } });
  const indices = Array.from({ length: 8 }, (_, i) => i);
  const images = { folder: scratchPath, split: 'train' as const, indices };
  return { images, workerCount: 1, scratchPath };
}

test('several images at once are told apart, or observed one by one where rows are of all', async (t) => {
  const shared = { ...(await passOver(t)), model: placesModel() };
  for (const method of ['min-max', 'mean-min-max', 'percentile'] as const) {
    const rangesBy = (batchSize: number) =>
      calibrate({ ...shared, method, percentile: 90, batchSize });
    assert.deepEqual(await rangesBy(4), await rangesBy(1), method);
  }
});

test('a layer whose rows cannot be counted ahead is corrected like one whose can', async (t) => {
  const shared = { ...(await passOver(t)), batchSize: 1 };
  // Nobody infers the shape that comes out of a Where; it changes nothing.
  const uncounted = placesModel([
    nodeSpec('Cast', ['always'], 'condition', { to: 9 }),
    nodeSpec('Where', ['condition', 'c', 'zero'], 'chosen'),
  ]);
  assert.ok(graphOf(uncounted).node.some(({ opType }) => opType === 'Where'));
  const correctionsOf = async (model: OnnxModel) => {
    const tensors = await calibrate({ ...shared, model, method: 'min-max', percentile: 100 });
    const plan = planQuantization(
      graphOf(model),
      { tensors },
      { granularity: 'per-channel', range: 'max', target: 'vnni', firstConvolution: 'keep' },
    );
    const settings = { rounding: 'adaptive', biasCorrection: 'local' } as const;
    return correctLayers({ ...shared, ...settings, model, plan });
  };
  const [counted, other] = [await correctionsOf(placesModel()), await correctionsOf(uncounted)];
  const layers = ['g', 'h'];
  for (const layer of layers) {
    assert.deepEqual(other.weights.get(layer), counted.weights.get(layer), layer);
    assert.deepEqual(other.corrections.get(layer), counted.corrections.get(layer), layer);
    assert.ok(counted.weights.has(layer));
  }
});

test('where nothing can be quantized nothing is observed and nothing corrected', async (t) => {
  const shared = { ...(await passOver(t)), batchSize: 1 };
  const model = prepareModel(
    smallModel({
      nodes: [nodeSpec('LRN', ['input'], 'y', { size: 3 })],
      input: [1, 3, 8, 8],
      output: 'y',
    }),
  );
  const observed = await observeActivations({ ...shared, model, observer: 'min-max' });
  assert.equal(observed.kept.size, 0);
  const plan = { layers: [], activations: new Map(), constants: new Map(), floatNodes: [] };
  const settings = { rounding: 'adaptive', biasCorrection: 'local' } as const;
  const { weights } = await correctLayers({ ...shared, ...settings, model, plan });
  assert.equal(weights.size, 0);
});
