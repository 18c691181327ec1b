import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BLOCK_FLOOR,
  P90_SAMPLE_FLOOR,
  meanInterval,
  medianInterval,
  sortSamples,
  speedup,
  summarizeLatency,
} from '../../../src/benchmark/statistics.ts';
import { createRandom } from '../../../src/numeric/random.ts';

const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);

/** P(Binomial(n, p) >= from) */
function binomialTail(n: number, p: number, from: number): number {
  let term = (1 - p) ** n;
  let tail = 0;
  for (let k = 0; k <= n; k += 1) {
    if (k >= from) tail += term;
    term *= ((n - k) / (k + 1)) * (p / (1 - p));
  }
  return tail;
}

test('the median interval is the one of whole blocks, whose runs are no news', () => {
  // All runs of a block are equal, the blocks are 1 to 21. The median of 21 drawn blocks is r or less
  // when 11 or more of them are: P(Binomial(21, r / 21) >= 11) (Efron 1979, section 3).
  const atMost = (rank: number): number => binomialTail(21, rank / 21, 11);
  assert.ok(atMost(6) < 0.025 && 0.025 < atMost(7), `${atMost(6)}, ${atMost(7)}`);
  const blocks = upTo(21).map((ms) => new Array<number>(5).fill(ms));
  assert.deepEqual(medianInterval(blocks, createRandom(0, 'test')), [7, 15]);
  const single = upTo(21).map((ms) => [ms]);
  assert.deepEqual(medianInterval(single, createRandom(0, 'test')), [7, 15]);
});

test('fewer than six blocks have no interval, however many their runs', () => {
  // The extremes of n values enclose their median unless all n lie on one side of it.
  assert.ok(2 * 0.5 ** BLOCK_FLOOR <= 0.05 && 2 * 0.5 ** (BLOCK_FLOOR - 1) > 0.05);
  const blocksOf = (count: number): number[][] =>
    upTo(count).map((i) => upTo(50).map((j) => i * j));
  for (const interval of [medianInterval, meanInterval]) {
    assert.equal(interval(blocksOf(5), createRandom(0, 'test')), null);
    assert.notEqual(interval(blocksOf(6), createRandom(0, 'test')), null);
  }
  const pairs = (count: number) => blocksOf(count).map((ms) => ({ baselineMs: ms, modelMs: ms }));
  assert.equal(speedup(pairs(5), createRandom(0, 'test')).interval, null);
  assert.notEqual(speedup(pairs(6), createRandom(0, 'test')).interval, null);
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
