import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRandom } from '../../../../src/numeric/random.ts';
import { covariancesOf } from '../../../../src/quantization/corrections/covariance.ts';

test('the covariance of a hand-worked case', async () => {
  // Samples (1, 2), (3, 6): means 2 and 4, so variances 1 and 4, covariance 2.
  const block = { samples: Uint8Array.of(9, 9, 1, 3, 2, 6), sampleCount: 2, first: 1, count: 1 };
  assert.deepEqual([...(await covariancesOf({ ...block, size: 2 }))], [1, 2, 2, 4]);
  // About 1: ((0, 1), (2, 5)): means of products 2, 5, 13.
  assert.deepEqual([...(await covariancesOf({ ...block, size: 2 }, 1))], [2, 5, 5, 13]);
});

test('several blocks at once are each on its own', async () => {
  const samples = Uint8Array.of(9, 9, 1, 3, 2, 6, 0, 4, 5, 5); // rows of two; blocks of two rows
  const all = await covariancesOf({ samples, sampleCount: 2, first: 1, size: 2, count: 2 });
  assert.deepEqual([...all], [1, 2, 2, 4, 4, 0, 0, 0]);
});

test('small and large blocks follow the definition', async () => {
  const random = createRandom(3, 'covariance');
  const width = 90;
  const sampleCount = 50;
  const samples = Uint8Array.from({ length: width * sampleCount }, () => random.integer(256));
  for (const [first, size] of [
    [4, 20],
    [7, 80],
  ] as const) {
    for (const centre of [undefined, 0, 128]) {
      const block = { samples, sampleCount, first, size, count: 1 };
      const actual = await covariancesOf(block, centre);
      const column = (k: number): number[] =>
        Array.from({ length: sampleCount }, (_, p) => samples[(first + k) * sampleCount + p]!);
      const mean = (values: readonly number[]): number =>
        values.reduce((sum, value) => sum + value, 0) / sampleCount;
      for (const [i, j] of [
        [0, 0],
        [3, 11],
        [size - 1, 2],
        [size - 1, size - 1],
      ] as const) {
        const [a, b] = [column(i), column(j)];
        const [ca, cb] = [centre ?? mean(a), centre ?? mean(b)];
        const expected = mean(a.map((value, p) => (value - ca) * (b[p]! - cb)));
        assert.ok(Math.abs(actual[i * size + j]! - expected) < 1e-6);
      }
    }
  }
});

test('sums beyond float32 stay exact', async () => {
  const sampleCount = 2000;
  const samples = new Uint8Array(sampleCount * 40).fill(255);
  samples[0] = 254;
  const block = { samples, sampleCount, first: 0, size: 40, count: 1 };
  const actual = await covariancesOf(block, 0);
  assert.equal(actual[41], 255 ** 2);
  assert.equal(actual[0], (255 ** 2 * 1999 + 254 ** 2) / 2000);
});
