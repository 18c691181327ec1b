import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRobustMean } from '../../../../src/quantization/corrections/robust-mean.ts';

test('rows weigh the inverse of their length, what they do not agree on is left out', () => {
  const mean = createRobustMean(2);
  mean.add(Float32Array.of(3, 4, 0, 2)); // lengths 5 and 2: weights 0.2 and 0.5
  mean.add(Float32Array.of(0, 0));
  const [a, b] = mean.finish();
  // Mean 0.6 / 0.7; Σ w² (r - m)² = 0.04 · 2.1429² + 0.25 · 0.8571² = 0.3673 exceeds 0.6² = 0.36.
  assert.equal(a, 0);
  // Mean 1.8 / 0.7 = 2.5714; 0.04 · 1.4286² + 0.25 · 0.5714² = 0.16327, of 1.8² = 3.24.
  assert.ok(Math.abs(b! - 2.5714 * (1 - 0.16327 / 3.24)) < 1e-3, String(b));
});

test('equal rows give themselves, and none gives zero', () => {
  const mean = createRobustMean(2);
  assert.deepEqual([...mean.finish()], [0, 0]);
  mean.add(Float32Array.of(3, -4, 3, -4, 3, -4));
  assert.deepEqual(
    [...mean.finish()].map((value) => Number(value.toFixed(12))),
    [3, -4],
  );
});

test('one row a million times the others moves the mean by no more than one of them', () => {
  const mean = createRobustMean(1);
  for (let i = 0; i < 20; i += 1) mean.add(Float32Array.of(1));
  mean.add(Float32Array.of(-1e6));
  const [value] = mean.finish();
  assert.ok(Math.abs(value! - 0.95) < 1e-2, String(value)); // (20 - 1) / 20
});
