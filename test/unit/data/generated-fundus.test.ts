import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drawFundus } from '../../../src/data/generated-fundus/draw-fundus.ts';
import { GRADE_NAMES } from '../../../src/data/generated-fundus/grades.ts';
import { createRandom } from '../../../src/numeric/random.ts';

const SIZE_PX = 96;

function draw(grade: number, stream: string): Uint8Array {
  return drawFundus({ grade, sizePx: SIZE_PX, random: createRandom(7, stream) });
}

function differingPixels(a: Uint8Array, b: Uint8Array): number {
  let count = 0;
  for (let i = 0; i < a.length; i += 3) if (Math.abs(a[i + 1]! - b[i + 1]!) > 12) count += 1;
  return count;
}

test('there are the seven grades of the paper', () => {
  assert.equal(GRADE_NAMES.length, 7);
  assert.equal(new Set(GRADE_NAMES).size, 7);
});

test('the same stream gives the same picture, another gives another', () => {
  assert.deepEqual(draw(3, 'a'), draw(3, 'a'));
  assert.ok(differingPixels(draw(3, 'a'), draw(3, 'b')) > 500);
});

test('the retina is bright and orange, its surround dark', () => {
  const pixels = draw(0, 'a');
  const at = (x: number, y: number): number[] => [
    ...pixels.subarray((y * SIZE_PX + x) * 3, (y * SIZE_PX + x) * 3 + 3),
  ];
  for (const [x, y] of [
    [1, 1],
    [94, 1],
    [1, 94],
    [94, 94],
  ] as const) {
    assert.ok(Math.max(...at(x, y)) < 24, at(x, y).join());
  }
  const [red, green, blue] = at(48, 30);
  assert.ok(red! > green! && green! > blue! && red! > 60, at(48, 30).join());
});

test('every grade shows lesions the healthy eye does not, and more than a speck', () => {
  // Anatomy and camera have streams of their own, so only the lesions differ.
  const healthy = draw(0, 'same');
  for (let grade = 1; grade < 7; grade += 1) {
    const changed = differingPixels(healthy, draw(grade, 'same'));
    assert.ok(changed > 60 && changed < SIZE_PX * SIZE_PX * 0.6, `grade ${grade}: ${changed}`);
  }
});
