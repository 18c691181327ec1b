import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRobustMean } from '../../../../src/quantization/corrections/robust-mean.ts';

test('rows weigh the inverse of their length', () => {
  const mean = createRobustMean(2);
  mean.add(Float32Array.of(3, 4, 0, 2)); // lengths 5 and 2: weights 0.2 and 0.5
  mean.add(Float32Array.of(0, 0));
  const [a, b] = mean.finish();
  assert.ok(Math.abs(a! - 0.6 / 0.7) < 1e-12);
  assert.ok(Math.abs(b! - 1.8 / 0.7) < 1e-12);
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
  assert.ok(Math.abs(value! - 0.95) < 1e-3, String(value)); // (20 - 1) / 20
});
