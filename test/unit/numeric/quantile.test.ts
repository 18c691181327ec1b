import assert from 'node:assert/strict';
import { test } from 'node:test';
import { quantileOfSorted } from '../../../src/numeric/quantile.ts';

test('quantiles interpolate as numpy does', () => {
  // numpy.quantile([1, 2, 4, 8], [0, 0.1, 0.5, 0.9, 1]) = [1, 1.3, 3, 6.8, 8]
  const actual = [0, 0.1, 0.5, 0.9, 1].map((fraction) => quantileOfSorted([1, 2, 4, 8], fraction));
  for (const [i, expected] of [1, 1.3, 3, 6.8, 8].entries()) {
    assert.ok(Math.abs((actual[i] ?? NaN) - expected) < 1e-12);
  }
  assert.equal(quantileOfSorted([5], 0.9), 5);
});

test('a quantile of nothing is a bug', () => {
  assert.throws(() => quantileOfSorted([], 0.5), /no values/);
});
