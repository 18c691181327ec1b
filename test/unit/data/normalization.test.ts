import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addSums, NO_SUMS, normalizationOf, sumChannels } from '../../../src/data/channel-sums.ts';

test('mean and deviation of two pixels by hand', () => {
  // Red 0 and 255: mean 0.5, deviation 0.5. Green 51 and 102: 0.3, 0.1. Blue 0 and 51: 0.1, 0.1.
  const sums = addSums(
    sumChannels(Uint8Array.from([0, 51, 0])),
    sumChannels(Uint8Array.from([255, 102, 51])),
  );
  assert.deepEqual(sums, {
    pixelCount: 2,
    sum: [255, 153, 51],
    sumOfSquares: [65025, 13005, 2601],
  });
  const normalization = normalizationOf(sums);
  assert.ok(normalization !== null);
  for (const [received, expected] of [
    [normalization.mean, [0.5, 0.3, 0.1]],
    [normalization.std, [0.5, 0.1, 0.1]],
  ] as const) {
    received.forEach((value, c) => assert.ok(Math.abs(value - (expected[c] ?? NaN)) < 1e-12));
  }
});

test('there is none of no pixels, nor where a channel never varies', () => {
  assert.equal(normalizationOf(NO_SUMS), null);
  assert.equal(normalizationOf(sumChannels(Uint8Array.from([1, 2, 3, 9, 2, 4]))), null);
});
