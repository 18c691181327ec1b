import assert from 'node:assert/strict';
import { test } from 'node:test';
import { foldBatchNorm } from '../../../src/models/fold-batch-norm.ts';
import type { ConvolutionLayer } from '../../../src/models/network.ts';

const LAYER: ConvolutionLayer = {
  kind: 'convolution',
  name: 'c',
  input: 'input',
  inputShape: { height: 1, width: 1, channels: 1 },
  outputShape: { height: 1, width: 1, channels: 2 },
  kernelSize: 1,
  stride: 1,
  padding: { top: 0, bottom: 0, left: 0, right: 0 },
  depthwise: false,
  weightName: 'c',
  batchNormName: 'b',
  activation: 'none',
};

test('batch norm is folded channel by channel', () => {
  const { weightsHwio, bias } = foldBatchNorm(
    LAYER,
    new Map([
      ['c.weight', Float32Array.of(2, 3)],
      ['b.weight', Float32Array.of(4, 1)],
      ['b.bias', Float32Array.of(1, -1)],
      ['b.running_mean', Float32Array.of(5, 2)],
      // With epsilon 1e-5 the roots are exactly 2 and 0.5.
      ['b.running_var', Float32Array.of(4 - 1e-5, 0.25 - 1e-5)],
    ]),
  );
  // Channel 0: factor 4 / 2 = 2, bias 1 - 5 * 2; channel 1: factor 1 / 0.5 = 2, bias -1 - 2 * 2.
  assert.ok(Math.abs(weightsHwio[0]! - 4) < 1e-5);
  assert.ok(Math.abs(weightsHwio[1]! - 6) < 1e-5);
  assert.ok(Math.abs(bias[0]! + 9) < 1e-5);
  assert.ok(Math.abs(bias[1]! + 5) < 1e-5);
});

test('a convolution without batch norm keeps weights and bias', () => {
  const weights = new Map([
    ['c.weight', Float32Array.of(2, 3)],
    ['c.bias', Float32Array.of(7, 8)],
  ]);
  const folded = foldBatchNorm({ ...LAYER, batchNormName: null }, weights);
  assert.deepEqual(folded, { weightsHwio: Float32Array.of(2, 3), bias: Float32Array.of(7, 8) });
});
