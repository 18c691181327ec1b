import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSqnrAccumulator } from '../../../src/metrics/sqnr.ts';

test('SQNR sums over tensors before it divides', () => {
  const sqnr = createSqnrAccumulator();
  sqnr.add([3, 4], [3, 4.5]); // signal 25, noise 0.25
  sqnr.add([0, 5], [0.5, 5]); // signal 25, noise 0.25
  // 50 / 0.5 = 100 = 20 dB
  assert.ok(Math.abs((sqnr.finishDb() ?? NaN) - 20) < 1e-12);
});

test('SQNR is null without noise or without signal', () => {
  const same = createSqnrAccumulator();
  same.add([1, 2], [1, 2]);
  assert.equal(same.finishDb(), null);
  const silent = createSqnrAccumulator();
  silent.add([0, 0], [1, 2]);
  assert.equal(silent.finishDb(), null);
  assert.equal(createSqnrAccumulator().finishDb(), null);
});
