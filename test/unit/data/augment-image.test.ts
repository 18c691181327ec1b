import assert from 'node:assert/strict';
import { test } from 'node:test';
import { augmentImage, flipHorizontally, rotate } from '../../../src/data/augment-image.ts';
import { createRandom } from '../../../src/numeric/random.ts';

const NO_CHANGE = { flipProbability: 0, rotationDegrees: 0, brightness: 0, contrast: 0 };

/** Grey pixels: one number a pixel. */
function grey(...levels: number[]): Uint8Array {
  return Uint8Array.from(levels.flatMap((level) => [level, level, level]));
}

test('a flip mirrors each row and keeps the channels', () => {
  const row = Uint8Array.from([1, 2, 3, 4, 5, 6]);
  assert.deepEqual([...flipHorizontally(row, { width: 2, height: 1 })], [4, 5, 6, 1, 2, 3]);
});

test('a quarter turn counter-clockwise moves the right column to the top', () => {
  // 1 2      2 4
  // 3 4  →   1 3
  const turned = rotate(grey(1, 2, 3, 4), { width: 2, height: 2 }, 90);
  assert.deepEqual([...turned], [...grey(2, 4, 1, 3)]);
});

test('without ranges a copy equals the image and is no view of it', () => {
  const image = grey(10, 20, 30, 40);
  const copy = augmentImage(image, { width: 2, height: 2 }, NO_CHANGE, createRandom(0, 'a'));
  assert.deepEqual(copy, image);
  assert.notEqual(copy.buffer, image.buffer);
});

test('brightness multiplies, contrast spreads about the mean grey level', () => {
  const values = [0.9, 0.9, 1, 0.5]; // flip, rotation, brightness 1 + 1 * 0.5, contrast 1
  const random = { ...createRandom(0, 'a'), next: () => values.shift() ?? 0 };
  const size = { width: 2, height: 1 };
  const brighter = augmentImage(grey(100, 201), size, { ...NO_CHANGE, brightness: 0.5 }, random);
  assert.deepEqual([...brighter], [...grey(150, 255)]);
  const forContrast = [0.9, 0.9, 0.5, 0];
  const lower = augmentImage(
    grey(100, 200),
    size,
    { ...NO_CHANGE, contrast: 0.5 },
    {
      ...random,
      next: () => forContrast.shift() ?? 0,
    },
  );
  // Mean 150, factor 0.5: 125 and 175, truncated from what floats give.
  assert.deepEqual(
    [...lower].map((v) => Math.round(v / 25) * 25),
    [...grey(125, 175)],
  );
});

test('switching one kind of change on leaves the others as they were', () => {
  const image = grey(...Array.from({ length: 16 }, (_, i) => i * 10));
  const size = { width: 4, height: 4 };
  const draws = (ranges: typeof NO_CHANGE): boolean => {
    const copy = augmentImage(
      image,
      size,
      { ...ranges, flipProbability: 0.5 },
      createRandom(3, 'x'),
    );
    return copy[0]! > copy[9]!;
  };
  assert.equal(draws(NO_CHANGE), draws({ ...NO_CHANGE, brightness: 0.2, contrast: 0.2 }));
});
