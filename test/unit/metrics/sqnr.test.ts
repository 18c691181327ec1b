import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSqnrAccumulator, noiseOf } from '../../../src/metrics/sqnr.ts';

test('SQNR sums over tensors before it divides', () => {
  const sqnr = createSqnrAccumulator();
  sqnr.add([3, 4], [3, 4.5]); // signal 25, noise 0.25
  sqnr.add([0, 5], [0.5, 5]); // signal 25, noise 0.25
  // 50 / 0.5 = 100 = 20 dB
  assert.ok(Math.abs((sqnr.finishDb() ?? NaN) - 20) < 1e-12);
});

test('SQNR is null without noise, and -Infinity where there is nothing but noise', () => {
  const same = createSqnrAccumulator();
  same.add([1, 2], [1, 2]);
  assert.equal(same.finishDb(), null);
  assert.equal(createSqnrAccumulator().finishDb(), null);
  const silent = createSqnrAccumulator();
  silent.add([0, 0], [1, 2]);
  assert.equal(silent.finishDb(), -Infinity);
  for (const bad of [NaN, Infinity, -Infinity]) {
    const sqnr = createSqnrAccumulator();
    sqnr.add([1, 2], [1, bad]);
    sqnr.add([1, 2], [1, 2]);
    assert.equal(sqnr.finishDb(), -Infinity, String(bad));
    const unknown = createSqnrAccumulator();
    unknown.add([1, bad], [1, 2]);
    assert.equal(unknown.finishDb(), -Infinity, String(bad));
  }
});

test('the same infinity on both sides is no difference', () => {
  assert.deepEqual(noiseOf([3, -Infinity, 4], [3, -Infinity, 4.5]), { signal: 25, noise: 0.25 });
  assert.deepEqual(noiseOf([Infinity], [Infinity]), { signal: 0, noise: 0 });
  assert.deepEqual(noiseOf([1, 2], [1, NaN]), { signal: 5, noise: Infinity });
  // Nothing to measure by.
  assert.equal(noiseOf([1, -Infinity], [1, -9]), null);
  assert.equal(noiseOf([1, -Infinity], [1, Infinity]), null);
  assert.equal(noiseOf([NaN, 1], [NaN, 1]), null);
});
