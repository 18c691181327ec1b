import assert from 'node:assert/strict';
import { test } from 'node:test';
import { argmax, isInTopK, softmax } from '../../../src/metrics/ranking.ts';

test('argmax takes the first of equal scores', () => {
  assert.equal(argmax([1, 3, 3, 2]), 1);
  assert.equal(argmax([-5]), 0);
});

test('top-k agrees with scikit-learn', () => {
  // numpy RandomState(0): randn(20, 6).round(2), randint(0, 6, 20); first eight rows.
  // top_k_accuracy_score on these eight, worked by ranking each row by hand: 1, 2, 4 hits.
  const scores = [
    [1.76, 0.4, 0.98, 2.24, 1.87, -0.98],
    [0.95, -0.15, -0.1, 0.41, 0.14, 1.45],
    [0.76, 0.12, 0.44, 0.33, 1.49, -0.21],
    [0.31, -0.85, -2.55, 0.65, 0.86, -0.74],
    [2.27, -1.45, 0.05, -0.19, 1.53, 1.47],
    [0.15, 0.38, -0.89, -1.98, -0.35, 0.16],
    [1.23, 1.2, -0.39, -0.3, -1.05, -1.42],
    [-1.71, 1.95, -0.51, -0.44, -1.25, 0.78],
  ];
  const labels = [0, 3, 0, 4, 2, 3, 5, 5];
  // Ranks of the labels: 3, 3, 2, 1, 4, 6, 6, 2.
  const hits = (k: number): number =>
    scores.filter((row, i) => isInTopK(row, labels[i] ?? -1, k)).length;
  assert.deepEqual([1, 2, 3, 4, 6].map(hits), [1, 3, 5, 6, 8]);
});

test('top-1 agrees with argmax on ties', () => {
  const tied = [2, 2, 2];
  assert.deepEqual(
    [0, 1, 2].map((label) => isInTopK(tied, label, 1)),
    [true, false, false],
  );
  assert.deepEqual(
    [0, 1, 2].map((label) => isInTopK(tied, label, 2)),
    [true, true, false],
  );
});

test('softmax neither overflows nor loses its sum', () => {
  const probabilities = softmax([1000, 1000 - Math.log(3)]);
  assert.ok(Math.abs((probabilities[0] ?? 0) - 0.75) < 1e-12);
  assert.ok(Math.abs((probabilities[1] ?? 0) - 0.25) < 1e-12);
});

test('a row with NaN names no class: it agrees with nothing and is right about nothing', () => {
  for (const row of [
    [NaN, 1, 2],
    [1, NaN, 2],
    [NaN, NaN, NaN],
  ]) {
    assert.ok(Number.isNaN(argmax(row)));
    assert.ok(!(argmax(row) === argmax([...row]))); // as callers compare
    assert.deepEqual(
      [0, 1, 2].map((label) => isInTopK(row, label, 3)),
      [false, false, false],
    );
    assert.ok([...softmax(row)].every((probability) => Number.isNaN(probability)));
  }
});

test('infinite scores rank, and share all probability where they are the largest', () => {
  assert.equal(argmax([-Infinity, -3, -Infinity]), 1);
  assert.equal(argmax([-Infinity, -Infinity]), 0);
  assert.equal(argmax([1, Infinity, Infinity]), 1);
  assert.equal(isInTopK([-Infinity, 1, 0], 0, 2), false);
  assert.deepEqual([...softmax([-Infinity, 7, -Infinity])], [0, 1, 0]);
  assert.deepEqual([...softmax([Infinity, 7, Infinity])], [0.5, 0, 0.5]);
  assert.deepEqual([...softmax([-Infinity, -Infinity])], [0.5, 0.5]);
});
