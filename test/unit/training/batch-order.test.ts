import assert from 'node:assert/strict';
import { test } from 'node:test';
import { epochBatches, inGroups } from '../../../src/training/batch-order.ts';

/** 10 images of class 0, 3 of class 5, 2 of class 2. */
const LABELS = [0, 0, 5, 0, 0, 2, 0, 0, 5, 0, 0, 2, 0, 0, 5];

function draw(sampling: 'shuffled' | 'balanced', epoch: number, seed = 0): number[] {
  return epochBatches(LABELS, { batchSize: 4, seed, sampling }, epoch).flat();
}

test('shuffled: every image once, in an order of its own in each epoch', () => {
  const first = draw('shuffled', 1);
  assert.deepEqual(
    [...first].sort((a, b) => a - b),
    [...LABELS.keys()],
  );
  assert.deepEqual(draw('shuffled', 1), first);
  assert.notDeepEqual(draw('shuffled', 2), first);
  assert.notDeepEqual(draw('shuffled', 1, 1), first);
});

test('balanced: a class of more images than a call takes arguments', () => {
  const labels = Array.from({ length: 200_001 }, (_, i) => Number(i === 0));
  const recipe = { batchSize: 4, seed: 0, sampling: 'balanced' } as const;
  const drawn = epochBatches(labels, recipe, 1).flat();
  assert.equal(drawn.length, labels.length);
  assert.equal(drawn.filter((index) => index === 0).length, 100_000 + Number(drawn[0] === 0)); // every second one
});

test('balanced: five images of each of three classes, as different as can be', () => {
  for (const epoch of [1, 2, 3]) {
    const drawn = draw('balanced', epoch);
    assert.deepEqual(draw('balanced', epoch), drawn);
    assert.equal(drawn.length, LABELS.length);
    const ofClass = (label: number): number[] => drawn.filter((i) => LABELS[i] === label);
    assert.deepEqual(
      [0, 5, 2].map((label) => ofClass(label).length),
      [5, 5, 5],
    );
    assert.deepEqual(
      [0, 5, 2].map((label) => new Set(ofClass(label)).size),
      [5, 3, 2],
    );
  }
  assert.notDeepEqual(draw('balanced', 2), draw('balanced', 1));
});

test('a last group of one joins the one before', () => {
  assert.deepEqual(inGroups([1, 2, 3, 4, 5], 2), [
    [1, 2],
    [3, 4, 5],
  ]);
  assert.deepEqual(inGroups([1, 2, 3, 4, 5, 6], 4), [
    [1, 2, 3, 4],
    [5, 6],
  ]);
  assert.deepEqual(inGroups([1], 4), [[1]]);
  assert.deepEqual(inGroups([1, 2, 3], 1), [[1], [2], [3]]);
  assert.deepEqual(inGroups([], 4), []);
});
