import assert from 'node:assert/strict';
import { test } from 'node:test';
import { roundHalfToEven, saturate } from '../../../src/numeric/rounding.ts';

test('halves go to the even neighbour, all else to the nearest', () => {
  const cases: readonly (readonly [number, number])[] = [
    [0.5, 0],
    [1.5, 2],
    [2.5, 2],
    [-0.5, 0],
    [-1.5, -2],
    [-2.5, -2],
    [2.4999, 2],
    [2.5001, 3],
    [-2.5001, -3],
    [0.49999999999999994, 0],
    [1e15 + 0.5, 1e15],
  ];
  for (const [value, expected] of cases) assert.equal(roundHalfToEven(value) + 0, expected);
});

test('saturate keeps a value between its bounds', () => {
  assert.deepEqual(
    [-300, -1, 0, 300].map((value) => saturate(value, -128, 127)),
    [-128, -1, 0, 127],
  );
});
