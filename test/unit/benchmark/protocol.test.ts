import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planBlocks, SUBJECTS } from '../../../src/benchmark/protocol.ts';
import { createRandom } from '../../../src/numeric/random.ts';

const plan = (seed: number, timedRuns = 103, blockSize = 5) =>
  planBlocks({ timedRuns, blockSize, random: createRandom(seed, 'test') });

test('each subject gets exactly the runs asked for', () => {
  for (const subject of SUBJECTS) {
    const runs = plan(1)
      .filter((block) => block.subject === subject)
      .reduce((sum, { runCount }) => sum + runCount, 0);
    assert.equal(runs, 103);
  }
});

test('every pair holds one block of each subject', () => {
  const blocks = plan(1);
  assert.equal(blocks.length, 2 * 21);
  for (let i = 0; i < blocks.length; i += 2) {
    const [first, second] = [blocks[i], blocks[i + 1]];
    assert.equal(first?.pair, second?.pair);
    assert.notEqual(first?.subject, second?.subject);
    assert.equal(first?.runCount, second?.runCount);
  }
});

test('the order within pairs is random but follows from the seed', () => {
  const firsts = (seed: number): string[] =>
    plan(seed).flatMap(({ subject }, i) => (i % 2 === 0 ? [subject] : []));
  assert.deepEqual(firsts(1), firsts(1));
  assert.notDeepEqual(firsts(1), firsts(2));
  assert.deepEqual(new Set(firsts(1)), new Set(SUBJECTS));
});
