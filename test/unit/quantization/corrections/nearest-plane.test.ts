import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRandom } from '../../../../src/numeric/random.ts';
import { roundHalfToEven } from '../../../../src/numeric/rounding.ts';
import { roundToNearestPlane } from '../../../../src/quantization/corrections/nearest-plane.ts';

async function round(
  weights: readonly number[],
  covariance: readonly number[],
  scale = 1,
  limit = 127,
): Promise<number[]> {
  const size = Math.sqrt(covariance.length);
  return [
    ...(await roundToNearestPlane({
      weights: Float32Array.from(weights),
      scales: new Float32Array(weights.length / size).fill(scale),
      covariance: Float64Array.from(covariance),
      ...{ limit, meeting: null },
    })),
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

test('inputs that move together share their error', async () => {
  // Worked by hand: both errors 0.4 cost 2 · 0.16 · 1.9 = 0.608. The second is decided first (equal
  // variance): 0.4 → 0, error 0.4; then 0.4 + 0.9 · 0.4 = 0.76 → 1, error -0.6, cost
  // 0.16 + 0.36 - 2 · 0.9 · 0.24 = 0.088.
  assert.deepEqual(await round([0.4, 0.4], [1, 0.9, 0.9, 1]), [1, 0]);
});

test('inputs of large variance are decided first', async () => {
  // The first, of variance 4: 0.4 → 0; the second makes up for it by 0.9 / 1 · 0.4: 0.76 → 1.
  assert.deepEqual(await round([0.4, 0.4], [4, 0.9, 0.9, 1]), [0, 1]);
});

test('unrelated inputs are rounded to the nearest, halves to even', async () => {
  assert.deepEqual(await round([0.4, 2.5, -1.6], [1, 0, 0, 0, 2, 0, 0, 0, 3]), [0, 2, -2]);
});

test('rows have their own scales, and codes end at the limit', async () => {
  const codes = await roundToNearestPlane({
    weights: Float32Array.of(10, 1, 10, 1, 10, 1, 10, 1, 10, 1),
    scales: Float32Array.of(1, 0.5, 0.1, 2, 5), // more rows than are worked on together
    covariance: Float64Array.of(1, 0, 0, 1),
    limit: 64,
    meeting: null,
  });
  assert.deepEqual([...codes], [10, 1, 20, 2, 64, 10, 5, 0, 2, 0]);
});

test('weights on the grid keep their codes whatever the covariance', async () => {
  const codes = [-127, 5, 64, 127, 0, -3];
  const covariance = [2, 1.9, 0.5, 1.9, 2, 0.6, 0.5, 0.6, 1];
  const scale = Math.fround(0.0123);
  assert.deepEqual(
    await round(
      codes.map((code) => Math.fround(code * scale)),
      covariance,
      scale,
    ),
    codes,
  );
});

test('over random cases the cost is far below the nearest codes and near the least', async () => {
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
    const plane = cost(weights, await round(weights, covariance), covariance);
    assert.ok(plane >= least - 1e-6);
    nearestSum += cost(weights, nearest, covariance);
    planeSum += plane;
    leastSum += least;
  }
  assert.ok(planeSum < 0.9 * nearestSum, `${planeSum} against ${nearestSum}`);
  assert.ok(planeSum < 1.2 * leastSum, `${planeSum} against ${leastSum}`);
});

test('strips of inputs decide as one after another do', async () => {
  const random = createRandom(5, 'strips');
  const size = 75; // two strips and a part of one
  const rowCount = 6;
  const factors = Array.from({ length: 40 * size }, () => random.normal());
  const covariance = Float64Array.from({ length: size * size }, (_, at) => {
    const [i, j] = [Math.floor(at / size), at % size];
    let sum = i === j ? 2 : 0;
    for (let k = 0; k < 40; k += 1) sum += factors[k * size + i]! * factors[k * size + j]!;
    return sum;
  });
  const weights = Float32Array.from({ length: rowCount * size }, () => 20 * random.normal());
  const scales = Float32Array.from({ length: rowCount }, (_, m) => 1 + 0.1 * m);
  const input = { weights, scales, covariance, limit: 127, meeting: null };
  const codes = await roundToNearestPlane(input);
  let others = 0;
  for (let row = 0; row < rowCount; row += 1) {
    const expected = oneByOne(input, row);
    for (let k = 0; k < size; k += 1) others += Number(codes[row * size + k] !== expected[k]);
  }
  // A value that float32 sums put to the other side of a half takes what follows with it.
  assert.ok(others <= 0.05 * codes.length, `${others} of ${codes.length} codes differ`);
});

/**
 * The conditional form of the same algorithm, without a factorisation: each input is decided where it
 * costs least given the errors before it, the inputs still open being free to follow. C restricted to
 * the open ones and this one gives that cost by Schur complements.
 */
function oneByOne(
  { weights, scales, covariance, limit }: Parameters<typeof roundToNearestPlane>[0],
  row: number,
): number[] {
  const size = weights.length / scales.length;
  const scale = scales[row]!;
  const order = Array.from({ length: size }, (_, k) => k).sort(
    (a, b) => covariance[b * size + b]! - covariance[a * size + a]!,
  );
  // What remains of C once the open inputs have followed: eliminate from the last decided back.
  const rest = Float64Array.from(covariance);
  const eliminated: { k: number; column: Float64Array }[] = [];
  for (const k of [...order].reverse()) {
    const pivot = rest[k * size + k]!;
    const column = Float64Array.from({ length: size }, (_, j) => rest[k * size + j]! / pivot);
    eliminated.push({ k, column });
    for (let i = 0; i < size; i += 1) {
      for (let j = 0; j < size; j += 1) rest[i * size + j]! -= pivot * column[i]! * column[j]!;
    }
  }
  const errors = new Float64Array(size);
  const codes = new Array<number>(size).fill(0);
  for (const { k, column } of eliminated.reverse()) {
    let sum = 0;
    for (let j = 0; j < size; j += 1) sum += column[j]! * errors[j]!;
    const target = (weights[row * size + k]! + sum) / scale;
    const code = Math.min(Math.max(roundHalfToEven(target), -limit), limit);
    codes[k] = code;
    errors[k] = weights[row * size + k]! - code * scale;
  }
  return codes;
}

test('codes that meet share what 16 bits hold, and what is cut off is made up for elsewhere', async () => {
  // Inputs move together, so only the sum of the weights counts: 100 + 100 + 10.
  const covariance = Float64Array.of(3.02, 2.9, 2.9, 2.9, 3.01, 2.9, 2.9, 2.9, 3);
  const codes = await roundToNearestPlane({
    weights: Float32Array.of(100, 100, 10),
    scales: Float32Array.of(1),
    covariance,
    limit: 127,
    meeting: Int32Array.of(1, 0, -1),
  });
  assert.ok(codes[0]! + codes[1]! <= 128, `${codes[0]} and ${codes[1]}`);
  const lost = 210 - codes.reduce((sum, code) => sum + code, 0);
  assert.ok(lost >= 0 && lost < 12, [...codes].join()); // the third, decided last, takes it
});
