import assert from 'node:assert/strict';
import { test } from 'node:test';
import { roundHalfToEven, roundWithin, saturate } from '../../../src/numeric/rounding.ts';

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

test('rounding within bounds is rounding first and limiting then', () => {
  for (let value = -200; value <= 200; value += 0.125) {
    assert.equal(
      roundWithin(value, -127, 127) + 0,
      saturate(roundHalfToEven(value), -127, 127) + 0,
    );
  }
  for (const value of [Infinity, -Infinity, 1e300, 2 ** 52 + 1]) {
    assert.equal(roundWithin(value, -7, 9), saturate(roundHalfToEven(value), -7, 9));
  }
});
