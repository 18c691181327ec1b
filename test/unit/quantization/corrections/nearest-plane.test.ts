import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRandom } from '../../../../src/numeric/random.ts';
import { roundToNearestPlane } from '../../../../src/quantization/corrections/nearest-plane.ts';

function round(weights: readonly number[], covariance: readonly number[], scale = 1, limit = 127) {
  const size = Math.sqrt(covariance.length);
  return [
    ...roundToNearestPlane({
      weights: Float32Array.from(weights),
      scales: new Float32Array(weights.length / size).fill(scale),
      covariance: Float64Array.from(covariance),
      limit,
    }),
  ];
}

/** e' C e */
function cost(weights: readonly number[], codes: readonly number[], c: readonly number[]): number {
  const errors = weights.map((weight, i) => weight - codes[i]!);
  return errors.reduce(
    (sum, e, i) => sum + errors.reduce((row, f, j) => row + e * f * c[i * errors.length + j]!, 0),
    0,
  );
}

test('inputs that move together share their error', () => {
  // Worked by hand: both errors 0.4 cost 2 · 0.16 · 1.9 = 0.608. The second is decided first (equal
  // variance): 0.4 → 0, error 0.4; then 0.4 + 0.9 · 0.4 = 0.76 → 1, error -0.6, cost
  // 0.16 + 0.36 - 2 · 0.9 · 0.24 = 0.088.
  assert.deepEqual(round([0.4, 0.4], [1, 0.9, 0.9, 1]), [1, 0]);
});

test('inputs of large variance are decided first', () => {
  // The first, of variance 4: 0.4 → 0; the second makes up for it by 0.9 / 1 · 0.4: 0.76 → 1.
  assert.deepEqual(round([0.4, 0.4], [4, 0.9, 0.9, 1]), [0, 1]);
});

test('unrelated inputs are rounded to the nearest, halves to even', () => {
  assert.deepEqual(round([0.4, 2.5, -1.6], [1, 0, 0, 0, 2, 0, 0, 0, 3]), [0, 2, -2]);
});

test('rows have their own scales, and codes end at the limit', () => {
  const codes = roundToNearestPlane({
    weights: Float32Array.of(10, 1, 10, 1, 10, 1, 10, 1, 10, 1),
    scales: Float32Array.of(1, 0.5, 0.1, 2, 5), // more rows than are worked on together
    covariance: Float64Array.of(1, 0, 0, 1),
    limit: 64,
  });
  assert.deepEqual([...codes], [10, 1, 20, 2, 64, 10, 5, 0, 2, 0]);
});

test('weights on the grid keep their codes whatever the covariance', () => {
  const codes = [-127, 5, 64, 127, 0, -3];
  const covariance = [2, 1.9, 0.5, 1.9, 2, 0.6, 0.5, 0.6, 1];
  const scale = Math.fround(0.0123);
  assert.deepEqual(
    round(
      codes.map((code) => Math.fround(code * scale)),
      covariance,
      scale,
    ),
    codes,
  );
});

test('over random cases the cost is far below the nearest codes and near the least', () => {
  let nearestSum = 0;
  let planeSum = 0;
  let leastSum = 0;
  const random = createRandom(1, 'nearest-plane');
  for (let run = 0; run < 500; run += 1) {
    const factors = Array.from({ length: 12 }, () => random.normal());
    const weights = Array.from({ length: 3 }, () => Math.fround(6 * random.next() - 3));
    // F'F + 0.05 I, positive definite
    const covariance = Array.from({ length: 9 }, (_, at) => {
      const [i, j] = [Math.floor(at / 3), at % 3];
      let sum = i === j ? 0.05 : 0;
      for (let k = 0; k < 4; k += 1) sum += factors[k * 3 + i]! * factors[k * 3 + j]!;
      return sum;
    });
    const nearest = weights.map((weight) => Math.round(weight));
    let least = Infinity;
    for (let at = 0; at < 125; at += 1) {
      const steps = [at % 5, Math.floor(at / 5) % 5, Math.floor(at / 25)];
      const codes = nearest.map((code, k) => code + steps[k]! - 2);
      least = Math.min(least, cost(weights, codes, covariance));
    }
    const plane = cost(weights, round(weights, covariance), covariance);
    assert.ok(plane >= least - 1e-6);
    nearestSum += cost(weights, nearest, covariance);
    planeSum += plane;
    leastSum += least;
  }
  assert.ok(planeSum < 0.9 * nearestSum, `${planeSum} against ${nearestSum}`);
  assert.ok(planeSum < 1.2 * leastSum, `${planeSum} against ${leastSum}`);
});
