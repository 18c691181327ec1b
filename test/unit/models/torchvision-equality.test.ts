import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exportOnnx } from '../../../src/models/export-onnx.ts';
import { weightsFromTensors } from '../../../src/models/load-weights.ts';
import type { NetworkOptions } from '../../../src/models/network.ts';
import { buildNetwork } from '../../../src/models/zoo.ts';
import { encodeOnnx } from '../../../src/onnx/writer.ts';
import { openOnnxSession } from '../../../src/runtime/onnx-session.ts';
import { relativeDifference } from '../../../src/training/export-checked-onnx.ts';
import { formulaImage, formulaStateDict, NETWORK_OPTIONS } from '../../support/formula-weights.ts';

/** Loads a formula state_dict by torchvision's names, exports, runs in onnxruntime. */
async function logitsOf(changes: Partial<NetworkOptions>, gammaScale = 1): Promise<number[]> {
  const network = buildNetwork({ ...NETWORK_OPTIONS, ...changes });
  const { imageSize, classCount } = network.options;
  const loaded = weightsFromTensors(network, formulaStateDict(network, gammaScale), {
    path: 'formula',
    seed: 0,
  });
  assert.deepEqual(loaded.replaced, []);
  const model = exportOnnx(network, loaded.weights, {
    classes: Array.from({ length: classCount }, (_, i) => String(i)),
    normalization: { mean: [0, 0, 0], std: [1, 1, 1] },
  });
  const session = await openOnnxSession(encodeOnnx(model), { threadCount: 1 });
  const input = { data: formulaImage(imageSize), dims: [1, 3, imageSize, imageSize] };
  const { logits } = await session.run({ input });
  await session.release();
  return Array.from(logits?.data ?? [], Number);
}

// Expected logits: torchvision 0.29 with PyTorch 2.15 in eval mode, state_dict and image by the same
// formulas in numpy (float64 sines rounded to float32), printed to 6 decimals.

test('MobileNetV2 gives the logits of torchvision.models.mobilenet_v2, odd sizes included', async () => {
  const expected = [-2.2816, -0.173424, 2.304616, -3.81851, 3.570171, -1.911917, -0.338923];
  const actual = await logitsOf({ imageSize: 75 });
  assert.ok(relativeDifference(expected, actual) < 1e-5, actual.join(' '));
});

test('MobileNetV2 0.35 gives the logits of mobilenet_v2(width_mult=0.35)', async () => {
  const expected = [-2.522541, -0.158159, 2.521182, -4.179604, 3.930232, -2.125797, -0.357442];
  const actual = await logitsOf({ widthMultiplier: 0.35 });
  assert.ok(relativeDifference(expected, actual) < 1e-5, actual.join(' '));
});

for (const [architecture, expected] of [
  ['resnet18', [102.640099, 94.235069, 79.533882, 59.511539, 35.514606, 9.163963, -17.765608]],
  [
    'resnet34',
    [-15743.769531, -9127.0, -1904.002563, 5445.44873, 12433.1875, 18595.085938, 23521.886719],
  ],
  [
    'resnet50',
    [-186.811142, 285.482758, 478.933868, 204.5448, -269.687897, -480.539307, -222.032089],
  ],
] as const) {
  test(`${architecture} gives the logits of torchvision.models.${architecture}`, async () => {
    const actual = await logitsOf({ architecture, imageSize: 75 }, 0.5);
    assert.ok(relativeDifference(expected, actual) < 1e-5, actual.join(' '));
  });
}

test("the paper's AlexNet gives the logits of torchvision's with its changes", async () => {
  // alexnet with features[0] = Conv2d(3, 64, 11, 4), avgpool = Identity(), classifier[1] = Linear(6400, 4096)
  const expected = [1.31827, -2.268473, 0.845699, 1.304047, -2.332851, 0.703997, 1.576871];
  const actual = await logitsOf({ architecture: 'alexnet', variant: 'paper', imageSize: 224 });
  assert.ok(relativeDifference(expected, actual) < 1e-5, actual.join(' '));
});
