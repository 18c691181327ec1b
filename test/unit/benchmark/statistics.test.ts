import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  P90_SAMPLE_FLOOR,
  meanInterval,
  medianInterval,
  sortSamples,
  speedup,
  summarizeLatency,
} from '../../../src/benchmark/statistics.ts';
import { createRandom } from '../../../src/numeric/random.ts';

const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);

test('the median interval uses the exact binomial ranks', () => {
  // Lower ranks from scipy.stats.binom: the largest r with 2 cdf(r - 1, n, 1/2) <= 0.05.
  const lowerRanks = [
    [6, 1],
    [10, 2],
    [20, 6],
    [46, 16],
    [100, 40],
    [200, 86],
  ] as const;
  for (const [n, rank] of lowerRanks) {
    assert.deepEqual(medianInterval(sortSamples(upTo(n))), [rank, n + 1 - rank], `n = ${n}`);
  }
});

test('five samples cannot enclose the median at 95 %', () => {
  assert.equal(medianInterval(sortSamples(upTo(5))), null); // 2 · 2^-5 = 6.25 %
  assert.equal(medianInterval(sortSamples([1])), null);
});

test('the median interval holds where 2^-n underflows', () => {
  // Normal approximation: rank ≈ n/2 - 1.96 sqrt(n)/2 = 5000 - 98.
  const interval = medianInterval(sortSamples(upTo(10_000)));
  assert.ok(interval !== null && Math.abs(interval[0] - 4902) <= 1, String(interval));
});

test('the floor of p90 is where two slow runs become sure enough', () => {
  // P(at most one of n above the 90th percentile) = 0.9^n + n · 0.1 · 0.9^(n - 1)
  const atMostOne = (n: number): number => 0.9 ** n + n * 0.1 * 0.9 ** (n - 1);
  assert.ok(atMostOne(P90_SAMPLE_FLOOR) <= 0.05);
  assert.ok(atMostOne(P90_SAMPLE_FLOOR - 1) > 0.05);
  assert.equal(summarizeLatency(sortSamples(upTo(45))).p90Ms, null);
  assert.ok(Math.abs((summarizeLatency(sortSamples(upTo(46))).p90Ms ?? NaN) - 41.5) < 1e-9);
});

test('a summary of few samples, worked by hand', () => {
  const summary = summarizeLatency(sortSamples([4, 1, 3, 100]));
  assert.deepEqual(summary, {
    sampleCount: 4,
    meanMs: 27,
    medianMs: 3.5,
    medianIntervalMs: null,
    p90Ms: null,
    minimumMs: 1,
    maximumMs: 100,
  });
});

test('no samples are a bug', () => {
  assert.throws(() => sortSamples([]), /no latencies/);
});

test('the speed-up is the ratio of medians, its interval about it', () => {
  const random = createRandom(0, 'noise');
  const noisy = (base: number): number[] => upTo(5).map(() => base + 0.2 * random.next());
  const blocks = upTo(20).map(() => ({ baselineMs: noisy(10), modelMs: noisy(4) }));
  const { ratio, interval } = speedup(blocks, createRandom(0, 'test'));
  assert.ok(Math.abs(ratio - 10.1 / 4.1) < 0.03, String(ratio));
  assert.ok(interval !== null && interval[0] <= ratio && ratio <= interval[1]);
  assert.ok(interval[1] - interval[0] < 0.1);
});

test('the interval of the speed-up sees drift between blocks', () => {
  // Twice as slow in half of the blocks, but the ratio is 2 in every one of them.
  const drift = upTo(20).map((i) => (i % 2 === 0 ? 1 : 2));
  const blocks = drift.map((factor) => ({ baselineMs: [4 * factor], modelMs: [2 * factor] }));
  const { ratio, interval } = speedup(blocks, createRandom(0, 'test'));
  assert.equal(ratio, 2);
  assert.deepEqual(interval, [2, 2]);
});

test('one block alone has no interval', () => {
  const { ratio, interval } = speedup([{ baselineMs: [4], modelMs: [2] }], createRandom(0, 'test'));
  assert.equal(ratio, 2);
  assert.equal(interval, null);
  assert.equal(meanInterval([[1, 2, 3]], createRandom(0, 'test')), null);
});
