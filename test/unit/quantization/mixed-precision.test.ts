import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { argmax } from '../../../src/metrics/ranking.ts';
import { makeTensor } from '../../../src/onnx/build.ts';
import { writeOnnx } from '../../../src/onnx/writer.ts';
import { calibrate } from '../../../src/quantization/calibrate.ts';
import { collectRows } from '../../../src/quantization/compare-models.ts';
import {
  floatLayersByStep,
  isWithinBudget,
  meetAccuracyBudget,
  stepCounts,
} from '../../../src/quantization/mixed-precision.ts';
import { prepareModel } from '../../../src/quantization/prepare-model.ts';
import { quantizeModel } from '../../../src/quantization/quantize-model.ts';
import { returnOrder } from '../../../src/quantization/return-order.ts';
import { measureSensitivity } from '../../../src/quantization/sensitivity.ts';
import { temporaryFolder } from '../../support/stage-context.ts';
import {
  nodeSpec as node,
  normalTensor,
  normalValues,
  smallModel,
} from '../../support/quantize-one.ts';
import { TINY_SIZE, tinyConvnet, writeNoiseShards } from '../../support/tiny-convnet.ts';

test('steps are single at first and then longer, and end at the largest', () => {
  assert.deepEqual(stepCounts(0), [0]);
  assert.deepEqual(stepCounts(3), [0, 1, 2, 3]);
  assert.deepEqual(stepCounts(20), [0, 1, 2, 3, 4, 5, 6, 9, 13, 19, 20]);
});

test('a step is one group more, and one layer stays quantized', () => {
  assert.deepEqual(floatLayersByStep([]), [[]]);
  assert.deepEqual(floatLayersByStep([['a']]), [[]]);
  assert.deepEqual(floatLayersByStep([['a'], ['b', 'c'], ['d']]), [[], ['a'], ['a', 'b', 'c']]);
  assert.deepEqual(floatLayersByStep([['a'], ['b', 'c']]), [[], ['a'], ['a', 'b']]);
  assert.deepEqual(floatLayersByStep([['a', 'b'], ['c']]), [[], ['a', 'b']]);
});

test('a drop of exactly the budget is within it, one image more is not', () => {
  assert.equal(isWithinBudget(100 * (0.58 - 0.57), 1), true);
  for (let right = 10; right < 100; right += 1) {
    const dropAfter = (lost: number): number => 100 * (right / 100 - (right - lost) / 100);
    assert.equal(isWithinBudget(dropAfter(2), 2), true, `${right}`);
    assert.equal(isWithinBudget(dropAfter(3), 2), false, `${right}`);
  }
});

test('a layer whose range is far too small is found, and the budget frees what it lies between', async (t) => {
  const folder = await temporaryFolder(t);
  const floatPath = join(folder, 'float.onnx');
  const imagesFolder = join(folder, 'images');
  await mkdir(imagesFolder);
  const model = tinyConvnet();
  await writeOnnx(floatPath, model);
  await writeNoiseShards(imagesFolder, 24);
  const indices = Array.from({ length: 24 }, (_, i) => 2 * i);
  const images = { folder: imagesFolder, split: 'train' as const, indices };
  const shared = { workerCount: 1, scratchPath: folder };
  const tensors = {
    ...(await calibrate({
      model: prepareModel(model),
      images,
      method: 'min-max',
      percentile: 100,
      batchSize: 1,
      ...shared,
    })),
  };
  // A tenth of the range of what the depthwise convolution reads: most values are cut off.
  tensors['r1'] = { min: 0, max: tensors['r1']!.max / 10 };
  const quantized = quantizeModel(
    model,
    { tensors },
    { granularity: 'per-channel', weightRange: 'max', target: 'avx2', firstConvolution: 'pad' },
  );
  const sensitivity = await measureSensitivity({ quantized, images, left: 'measure', ...shared });
  const order = await returnOrder(quantized, sensitivity.layers);
  // The tensor in between is quantized as long as either of its ends is.
  assert.deepEqual(order, [['depthwise', 'first'], ['dense']]);
  const [worst, second] = sensitivity.layers;
  assert.ok(worst!.outputSqnrDb! + 10 < second!.outputSqnrDb!, 'it stands out');
  assert.ok(worst!.inputSqnrDb! < 10 && worst!.weightSqnrDb! > 30, 'by its input');

  const rows = await collectRows({ modelPath: floatPath, outputName: 'logits', images, ...shared });
  const options = {
    quantized,
    order,
    floatPath,
    images,
    labels: rows.map((row) => argmax(row)), // the float model is right on all
    ...shared,
  };
  const mixed = await meetAccuracyBudget({ ...options, budgetPoints: 5 });
  assert.equal(mixed.isWithinBudget, true);
  assert.deepEqual(mixed.chosen.floatLayers, ['depthwise', 'first']);
  assert.ok(mixed.steps[0]!.dropPoints > 5);
  assert.deepEqual(
    mixed.quantized.plan.layers.map(({ name }) => name),
    ['dense'],
  );

  // Labels the float model never gives: int8 cannot be worse, so nothing returns to float.
  const nothing = await meetAccuracyBudget({
    ...options,
    labels: rows.map((row) => (argmax(row) + 1) % 4),
    budgetPoints: 0,
  });
  assert.equal(nothing.chosen.floatLayerCount, 0);
});

test('a layer that returned to float before a pool changes the result', async (t) => {
  const folder = await temporaryFolder(t);
  const floatPath = join(folder, 'float.onnx');
  const imagesFolder = join(folder, 'images');
  await mkdir(imagesFolder);
  // One output channel of `uneven` is 200 times the others and hardly read: one scale is too few.
  const isFirst = (row: number) => row === 0;
  const uneven = makeTensor(
    'w2',
    [8, 8, 1, 1],
    normalValues('w2', 64, 0.3).map((value, i) =>
      isFirst(Math.floor(i / 8)) ? 200 * value : value,
    ),
  );
  const w3 = makeTensor(
    'w3',
    [8, 8, 1, 1],
    normalValues('w3', 64, 0.3).map((value, i) => (isFirst(i % 8) ? value / 2000 : value)),
  );
  const model = smallModel({
    input: [1, 3, TINY_SIZE, TINY_SIZE],
    output: 'logits',
    nodes: [
      node('Conv', ['input', 'w1'], 'c1'),
      node('Conv', ['c1', 'w2'], 'uneven'),
      node('MaxPool', ['uneven'], 'm', { kernel_shape: [2, 2], strides: [2, 2] }),
      node('Conv', ['m', 'w3'], 'c3'),
      node('GlobalAveragePool', ['c3'], 'p'),
      node('Flatten', ['p'], 'logits'),
    ],
    tensors: [normalTensor('w1', [8, 3, 1, 1], 0.3), uneven, w3],
  });
  await writeOnnx(floatPath, model);
  await writeNoiseShards(imagesFolder, 8);
  const images = {
    folder: imagesFolder,
    split: 'train' as const,
    indices: Array.from({ length: 8 }, (_, i) => 2 * i),
  };
  const shared = { workerCount: 1, scratchPath: folder };
  const tensors = await calibrate({
    ...{ model: prepareModel(model), images, method: 'min-max', percentile: 100, batchSize: 1 },
    ...shared,
  });
  const quantized = quantizeModel(
    model,
    { tensors },
    { granularity: 'per-tensor', weightRange: 'max', target: 'avx2', firstConvolution: 'keep' },
  );
  const { steps } = await meetAccuracyBudget({
    quantized,
    order: [['uneven'], ['c1']],
    floatPath,
    images,
    labels: images.indices.map(() => 0),
    budgetPoints: -1000, // cannot be met, so that every step is measured
    ...shared,
  });
  const [none, one] = steps.map(({ fidelity }) => fidelity.logitsSqnrDb ?? Infinity);
  assert.ok(one! > none! + 3, `${none} dB, and ${one} with the layer in float`); // two steps
});

test('what is left with a layer in float is measured before the pool that only feeds it', async (t) => {
  const folder = await temporaryFolder(t);
  await writeNoiseShards(folder, 8);
  const images = { folder, split: 'train' as const, indices: [0, 2, 4, 6] };
  const model = smallModel({
    input: [1, 3, TINY_SIZE, TINY_SIZE],
    output: 'logits',
    nodes: [
      node('Conv', ['input', 'w1'], 'a'),
      node('Conv', ['input', 'w2'], 'b'),
      node('Concat', ['a', 'b'], 'joined', { axis: 1 }),
      node('GlobalAveragePool', ['joined'], 'pooled'),
      node('Conv', ['pooled', 'w3'], 'head'),
      node('Flatten', ['head'], 'logits'),
    ],
    tensors: [
      normalTensor('w1', [4, 3, 1, 1], 0.3),
      normalTensor('w2', [4, 3, 1, 1], 0.3),
      normalTensor('w3', [4, 8, 1, 1], 0.3),
    ],
  });
  const shared = { workerCount: 1, scratchPath: folder };
  const ranges = await calibrate({
    ...{ model: prepareModel(model), images, method: 'min-max', percentile: 100, batchSize: 1 },
    ...shared,
  });
  const leftWith = async (coarse: readonly string[]): Promise<number> => {
    const wide = Object.fromEntries(coarse.map((tensor) => [tensor, { min: -300, max: 300 }]));
    const quantized = quantizeModel(
      model,
      { tensors: { ...ranges, ...wide } },
      { granularity: 'per-channel', weightRange: 'max', target: 'vnni', firstConvolution: 'keep' },
    );
    const { layers } = await measureSensitivity({ quantized, images, left: 'measure', ...shared });
    return layers.find(({ layer }) => layer === 'head')!.leftFraction!; // asked for
  };
  assert.ok((await leftWith(['pooled'])) < 0.01);
  assert.ok((await leftWith(['a', 'b'])) > 0.9);
});
