import assert from 'node:assert/strict';
import { test } from 'node:test';
import { robustMean } from '../../../../src/quantization/corrections/robust-mean.ts';

/** Rows of one column. */
function meanOf(...values: readonly number[]): number | undefined {
  return robustMean(Float32Array.from(values), 1)[0];
}

function assertNear(actual: number | undefined, expected: number, tolerance: number): void {
  assert.ok(Math.abs(actual! - expected) <= tolerance, `${actual} is not ${expected}`);
}

test('long rows weigh the inverse of their length, what rows do not agree on is left out', () => {
  const [a, b] = robustMean(Float32Array.of(3, 4, 0, 2, 0, 2), 2); // lengths 5, 2 and 2
  // Weights 0.2, 0.5, 0.5. Mean 0.6 / 1.2; Σ w² (r - m)² = 0.04 · 2.5² + 0.5 · 0.5² = 0.375 exceeds 0.6².
  assert.equal(a, 0);
  // Mean 2.8 / 1.2 = 2.3333; 0.04 · 1.6667² + 0.5 · 0.3333² = 0.16667, of 2.8² = 7.84.
  assertNear(b, 2.3333 * (1 - 0.16667 / 7.84), 1e-3);
});

test('equal rows give themselves, and none or zeros give zero', () => {
  assert.deepEqual([...robustMean(new Float32Array(), 2)], [0, 0]);
  assert.deepEqual([...robustMean(new Float32Array(6), 2)], [0, 0]);
  const equal = robustMean(Float32Array.of(3, -4, 3, -4, 3, -4), 2);
  assert.deepEqual(
    [...equal].map((value) => Number(value.toFixed(12))),
    [3, -4],
  );
});

test('one row a million times the others moves the mean by no more than one of them', () => {
  assertNear(meanOf(...new Array<number>(20).fill(1), -1e6), 0.95, 1e-2); // (20 - 1) / 20
});

test('one row near zero, or all but a few at zero, weigh as one each', () => {
  const twenty = new Array<number>(20).fill(1);
  // Mean 20 / 21; its variance (20 · (1/21)² + (20/21)²) / 21² is 0.0023 of its square.
  for (const tiny of [1e-12, 0]) assertNear(meanOf(...twenty, tiny), 0.952 * (1 - 0.0025), 1e-3);
  assertNear(meanOf(0, 0, 0, 1, 1), 0.4 * (1 - (3 * 0.4 ** 2 + 2 * 0.6 ** 2) / 4), 1e-9);
});
