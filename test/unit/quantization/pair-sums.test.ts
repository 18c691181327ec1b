import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LARGEST_PAIR_SUM } from '../../../src/quantization/code-bounds.ts';
import { worstPairSum } from '../../../src/quantization/pair-sums.ts';
import { quantizeWeight } from '../../support/quantize-weight.ts';

test('the worst pair of a row is its two largest or its two smallest weights', () => {
  // 255 · (100 + 30) = 33,150; of the other sign 255 · (40 + 7) = 11,985
  assert.equal(worstPairSum(Int8Array.of(100, -40, 30, -7), 1, 0), 33_150);
  assert.equal(worstPairSum(Int8Array.of(5, -127, 6, -127), 1, 0), 64_770);
  // Weights of both signs never add up: one meets 255, the other 0.
  assert.equal(worstPairSum(Int8Array.of(127, -127), 1, 0), 255 * 127);
  assert.equal(worstPairSum(Int8Array.of(0, 0, 0), 1, 0), 0);
});

test('rows do not meet each other, on either axis', () => {
  const codes = Int8Array.of(127, 1, 127, 2);
  assert.equal(worstPairSum(codes, 2, 0), 255 * 129); // rows [127, 1] and [127, 2]
  assert.equal(worstPairSum(codes, 2, 1), 255 * 254); // columns [127, 127] and [1, 2]
  assert.equal(worstPairSum(Int8Array.of(127, 127), 2, 0), 255 * 127); // rows of one weight
});

test('no pair and no input of a row sums to more, and one reaches it', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: -127, max: 127 }), { minLength: 2, maxLength: 8 }),
      (row) => {
        let worst = 0;
        for (let i = 0; i < row.length; i += 1) {
          for (let j = 0; j < i; j += 1) {
            // The sum is linear in both inputs, so the corners of [0, 255]² hold its extremes.
            for (const a of [0, 255]) {
              for (const b of [0, 255])
                worst = Math.max(worst, Math.abs(a * row[i]! + b * row[j]!));
            }
          }
        }
        assert.equal(worstPairSum(Int8Array.from(row), 1, 0), worst);
      },
    ),
  );
});

test('weights of 7 bits fit 16 bits whatever they are, weights of 8 bits do not', () => {
  const input = {
    values: Float32Array.of(3, 3, -3, -3),
    channelCount: 1,
    axis: 0 as const,
    bias: undefined,
    inputScale: 1,
  };
  const sumAt = (limit: number): number =>
    worstPairSum(
      quantizeWeight(input, { granularity: 'per-channel', range: 'max', limit, meeting: null })
        .codes,
      1,
      0,
    );
  assert.equal(sumAt(64), 32_640);
  assert.ok(sumAt(64) <= LARGEST_PAIR_SUM);
  assert.ok(sumAt(65) > LARGEST_PAIR_SUM); // 33,150: 64 is the most
  assert.ok(sumAt(127) > LARGEST_PAIR_SUM);
});
