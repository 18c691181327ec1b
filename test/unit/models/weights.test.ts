import assert from 'node:assert/strict';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parameterSpecs } from '../../../src/models/network.ts';
import {
  readWeightsFolder,
  weightsFromFolder,
  writeWeightsFolder,
} from '../../../src/models/weights-folder.ts';
import { randomWeights, weightOf } from '../../../src/models/weights.ts';
import { buildNetwork } from '../../../src/models/zoo.ts';
import { NETWORK_OPTIONS } from '../../support/formula-weights.ts';
import { temporaryFolder } from '../../support/stage-context.ts';

const NETWORK = buildNetwork({ ...NETWORK_OPTIONS, widthMultiplier: 0.1 });
const DETAILS = {
  classes: ['a', 'b', 'c', 'd', 'e', 'f', 'g'],
  normalization: { mean: [0, 0, 0], std: [1, 1, 1] },
} satisfies Parameters<typeof writeWeightsFolder>[3];

function deviation(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
}

test('random weights have the deviations of the PyTorch sources, and depend on the seed alone', () => {
  const weights = randomWeights(NETWORK, 1);
  // kaiming fan_out of features.18.0: 1280 outputs of 1x1
  const last = weightOf(weights, 'features.18.0.weight');
  assert.ok(Math.abs(deviation(last) / Math.sqrt(2 / 1280) - 1) < 0.02);
  assert.ok(Math.abs(deviation(weightOf(weights, 'classifier.1.weight')) / 0.01 - 1) < 0.03);
  assert.ok(weightOf(weights, 'features.0.1.weight').every((value) => value === 1));
  assert.deepEqual(randomWeights(NETWORK, 1), weights);
  assert.notDeepEqual(weightOf(randomWeights(NETWORK, 2), 'features.18.0.weight'), last);
});

test("the biases of AlexNet's second, fourth and fifth convolution are one", () => {
  const network = buildNetwork({
    ...NETWORK_OPTIONS,
    ...{ architecture: 'alexnet', variant: 'paper', imageSize: 67 },
  });
  const weights = randomWeights(network, 0);
  const biases = [0, 3, 6, 8, 10].map((i) => weightOf(weights, `features.${i}.bias`)[0]);
  assert.deepEqual(biases, [0, 1, 0, 1, 1]);
  assert.ok(Math.abs(deviation(weightOf(weights, 'features.6.weight')) / 0.01 - 1) < 0.02);
});

test('he initialization follows the inputs of each output, with zero biases', () => {
  const network = buildNetwork({
    ...NETWORK_OPTIONS,
    ...{ architecture: 'alexnet', variant: 'paper', imageSize: 67 },
  });
  const weights = randomWeights(network, 0, 'he');
  // features.6: 3x3 over 192 channels; classifier.4: 4096 inputs
  const convolution = deviation(weightOf(weights, 'features.6.weight'));
  assert.ok(Math.abs(convolution / Math.sqrt(2 / (9 * 192)) - 1) < 0.02);
  const dense = deviation(weightOf(weights, 'classifier.4.weight'));
  assert.ok(Math.abs(dense / Math.sqrt(2 / 4096) - 1) < 0.02);
  assert.ok(weightOf(weights, 'features.3.bias').every((value) => value === 0));
});

test('a weights folder gives back what was written', async (context) => {
  const folder = await temporaryFolder(context);
  const weights = randomWeights(NETWORK, 1);
  await writeWeightsFolder(folder, NETWORK, weights, DETAILS);
  const stored = await readWeightsFolder(folder);
  assert.deepEqual(stored.topology, { network: NETWORK.options, ...DETAILS });
  const { weights: again, replaced } = weightsFromFolder(NETWORK, stored, 0);
  assert.deepEqual(replaced, []);
  for (const { name } of parameterSpecs(NETWORK)) {
    assert.deepEqual(weightOf(again, name), weightOf(weights, name));
  }
  const fewer = buildNetwork({ ...NETWORK.options, classCount: 3 });
  assert.deepEqual(weightsFromFolder(fewer, stored, 0).replaced, [
    'classifier.1.weight',
    'classifier.1.bias',
  ]);
});

test('a damaged weights folder, or one of another network, is refused', async (context) => {
  const folder = await temporaryFolder(context);
  await assert.rejects(readWeightsFolder(folder), {
    code: 'models/malformed-weights',
    message: /holds no model\.json/,
  });
  await writeWeightsFolder(folder, NETWORK, randomWeights(NETWORK, 1), DETAILS);
  const stored = await readWeightsFolder(folder);
  const wider = buildNetwork({ ...NETWORK.options, widthMultiplier: 0.5 });
  assert.throws(() => weightsFromFolder(wider, stored, 0), { code: 'models/wrong-shape' });
  const variances = stored.tensors.get('features.0.1.running_var');
  assert.ok(variances);
  const tensors = new Map(stored.tensors).set('features.0.1.running_var', {
    ...{ ...variances, data: variances.data.with(2, -1) },
  });
  assert.throws(() => weightsFromFolder(NETWORK, { ...stored, tensors }, 0), {
    code: 'models/malformed-weights',
    message: /"features\.0\.1\.running_var" holds -1 at element 2, and no variance is negative/,
  });
  // ResNet-18's parameters are all among ResNet-34's.
  const resnet = (architecture: 'resnet18' | 'resnet34') =>
    buildNetwork({ ...NETWORK.options, architecture });
  const larger = await temporaryFolder(context);
  const large = resnet('resnet34');
  await writeWeightsFolder(larger, large, randomWeights(large, 1), DETAILS);
  const storedLarge = await readWeightsFolder(larger);
  assert.throws(() => weightsFromFolder(resnet('resnet18'), storedLarge, 0), {
    code: 'models/other-architecture',
    message: 'the weights are of resnet34, the network to train is resnet18',
  });
  const binary = join(folder, 'weights.bin');
  await truncate(binary, 1000);
  await assert.rejects(readWeightsFolder(folder), /weights\.bin holds 1000 bytes/);
  await writeFile(
    join(folder, 'model.json'),
    (await readFile(join(folder, 'model.json'))).subarray(0, 99),
  );
  await assert.rejects(readWeightsFolder(folder), /model\.json is not JSON/);
});
