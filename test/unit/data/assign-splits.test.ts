import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { assignSplits } from '../../../src/data/assign-splits.ts';

const FRACTIONS = { train: 0.7, validation: 0.1, test: 0.2 };

test('each class is shared out by the fractions', () => {
  const images = Array.from({ length: 100 }, (_, i) => ({
    id: `i${i}`,
    label: i < 20 ? 1 : 0,
    ties: [],
  }));
  const splits = assignSplits({ images, fractions: FRACTIONS, seed: 5 });
  const count = (label: number, split: string): number =>
    images.filter((image) => image.label === label && splits.get(image.id) === split).length;
  // 80 of class 0: 56, 8, 16. 20 of class 1: 14, 2, 4.
  assert.deepEqual(
    [0, 1].map((label) => ['train', 'validation', 'test'].map((split) => count(label, split))),
    [
      [56, 8, 16],
      [14, 2, 4],
    ],
  );
});

test('another seed shares out otherwise, another order of the images does not', () => {
  const images = Array.from({ length: 50 }, (_, i) => ({ id: `i${i}`, label: 0, ties: [] }));
  const one = assignSplits({ images, fractions: FRACTIONS, seed: 1 });
  const reversed = assignSplits({ images: images.toReversed(), fractions: FRACTIONS, seed: 1 });
  const other = assignSplits({ images, fractions: FRACTIONS, seed: 2 });
  const list = (splits: Map<string, string>): string[] =>
    images.map(({ id }) => splits.get(id) ?? '');
  assert.deepEqual(list(reversed), list(one));
  assert.notDeepEqual(list(other), list(one));
});

test('no group is ever split, every image gets a split, also through chains of ties', () => {
  const image = fc.record({
    label: fc.nat({ max: 3 }),
    ties: fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g'), { maxLength: 2 }),
  });
  fc.assert(
    fc.property(fc.array(image, { maxLength: 60 }), fc.nat({ max: 1000 }), (list, seed) => {
      const images = list.map((entry, i) => ({ ...entry, id: `i${i}` }));
      const splits = assignSplits({ images, fractions: FRACTIONS, seed });
      assert.equal(splits.size, images.length);
      const splitOfTie = new Map<string, string | undefined>();
      for (const { id, ties } of images) {
        for (const tie of ties) {
          const known = splitOfTie.get(tie) ?? splits.get(id);
          assert.equal(splits.get(id), known, `tie ${tie}`);
          splitOfTie.set(tie, known);
        }
      }
    }),
  );
});

test('a fraction of zero gets nothing', () => {
  const images = Array.from({ length: 10 }, (_, i) => ({ id: `i${i}`, label: 0, ties: [] }));
  const splits = assignSplits({ images, fractions: { train: 1, validation: 0 }, seed: 0 });
  assert.deepEqual(new Set(splits.values()), new Set(['train']));
});

test('the split of a dataset stays what it was: figures on its test images would not compare', () => {
  const images = Array.from({ length: 3000 }, (_, i) => ({
    id: `i${i}`,
    label: i % 7 === 0 ? 1 : i % 3,
    ties: i % 5 === 0 ? [`g${i % 40}`, `d${i % 400}`] : [],
  }));
  const fractions = { train: 0.7, validation: 0.15, test: 0.15 };
  const splits = assignSplits({ images, fractions, seed: 0 });
  const listed = images.map(({ id }) => `${id} ${splits.get(id) ?? ''}`).join('\n');
  assert.equal(
    createHash('sha256').update(listed).digest('hex'),
    'a2a4679b24918a9aeb15e1ff05767136110769d933dd1ffb4ec5ce24b0447eb0',
  );
});
