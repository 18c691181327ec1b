import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LatencySample } from '../../../../src/benchmark/protocol.ts';
import { createRandom } from '../../../../src/numeric/random.ts';
import {
  pairBlocks,
  summarizeBenchmark,
  type BenchmarkSummary,
} from '../../../../stages/benchmark/summarize.ts';

const BLOCK_RUNS = 5;

/** All workers meet the same disturbance in a block: the model takes its ms, the baseline twice. */
function samplesOf(blocksMs: readonly number[], workerCount: number): LatencySample[] {
  return Array.from({ length: workerCount }, (_, worker) =>
    blocksMs.flatMap((ms, block) =>
      Array.from({ length: BLOCK_RUNS }, (_, i) => {
        const run = block * BLOCK_RUNS + i;
        return [
          { subject: 'baseline', worker, block, run, ms: 2 * ms },
          { subject: 'model', worker, block, run, ms },
        ] as const;
      }).flat(),
    ),
  ).flat();
}

function summaryOf(samples: readonly LatencySample[], workerCount: number): BenchmarkSummary {
  return summarizeBenchmark({
    samples,
    sizesBytes: { baseline: 4, model: 1 },
    workerCount,
    intraOpThreads: 1,
    random: createRandom(0, 'test'),
  });
}

const intervalsOf = ({ values }: BenchmarkSummary) =>
  values.map(({ name, subject, interval }) => ({ name, subject, interval }));

test('a block is that of all workers', () => {
  const samples = samplesOf([1, 3], 2);
  assert.deepEqual(pairBlocks(samples), [
    { baselineMs: new Array(10).fill(2), modelMs: new Array(10).fill(1) },
    { baselineMs: new Array(10).fill(6), modelMs: new Array(10).fill(3) },
  ]);
});

test('workers that repeat each other make no interval narrower', () => {
  const blocksMs = Array.from({ length: 21 }, (_, i) => i + 1);
  const one = intervalsOf(summaryOf(samplesOf(blocksMs, 1), 1));
  assert.deepEqual(intervalsOf(summaryOf(samplesOf(blocksMs, 4), 4)), one);
  // Worked out with the test of `medianInterval`.
  const median = one.find(({ name, subject }) => name === 'latencyMedianMs' && subject === 'model');
  assert.deepEqual(median?.interval, [7, 15]);
});

test('too few blocks have no interval but a note, however many the workers', () => {
  for (const blocksMs of [[1], [1, 2], [1, 2, 3, 4, 5]]) {
    const summary = summaryOf(samplesOf(blocksMs, 8), 8);
    assert.ok(intervalsOf(summary).every(({ interval }) => interval === undefined));
    assert.match(summary.notes.join(), new RegExp(`no interval: ${blocksMs.length} block`));
  }
  const enough = summaryOf(samplesOf([1, 2, 3, 4, 5, 6], 1), 1);
  assert.deepEqual(enough.notes, []);
  assert.equal(intervalsOf(enough).filter(({ interval }) => interval !== undefined).length, 5);
});
