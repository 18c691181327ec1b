import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  dequantizeWeight,
  quantizeBias,
  type WeightInput,
  type WeightScheme,
} from '../../../src/quantization/weights.ts';
import { quantizeWeight } from '../../support/quantize-weight.ts';

const SCHEME: WeightScheme = {
  granularity: 'per-channel',
  range: 'max',
  limit: 127,
  meeting: null,
};

function input(values: readonly number[], channelCount: number, more: Partial<WeightInput> = {}) {
  const base = { axis: 0 as const, bias: undefined, inputScale: 1 };
  return { values: Float32Array.from(values), channelCount, ...base, ...more };
}

test('each channel has the scale of its largest magnitude', () => {
  const { codes, scales, sqnrDb } = quantizeWeight(input([127, -63.5, 254, 3], 2), SCHEME);
  assert.deepEqual([...scales], [1, 2]);
  assert.deepEqual([...codes], [127, -64, 127, 2]); // -63.5 and 1.5 are halves: to even
  // signal 127² + 63.5² + 254² + 3² = 84686.25, noise 0.5² + 1² = 1.25
  assert.ok(Math.abs(sqnrDb - 10 * Math.log10(84686.25 / 1.25)) < 1e-9);
});

test('channels on axis 1 are columns', () => {
  const { codes, scales } = quantizeWeight(input([127, 254, -127, 2], 2, { axis: 1 }), SCHEME);
  assert.deepEqual([...scales], [1, 2]);
  assert.deepEqual([...codes], [127, 127, -127, 1]);
});

test('per tensor there is one scale', () => {
  const scheme: WeightScheme = { ...SCHEME, granularity: 'per-tensor' };
  const { codes, scales } = quantizeWeight(input([127, -64, 254, 4], 2), scheme);
  assert.deepEqual([...scales], [2]);
  assert.deepEqual([...codes], [64, -32, 127, 2]); // 63.5 to the even 64
});

test('64 is the largest code where products must fit 16 bits', () => {
  const { codes } = quantizeWeight(input([1, -1, 0.5], 1), { ...SCHEME, limit: 64 });
  assert.deepEqual([...codes], [64, -64, 32]);
});

test('a channel without weights keeps its bias to seven digits', () => {
  const bias = Float32Array.of(3.25, -0.5);
  const given = input([0, 0, 1, -1], 2, { bias, inputScale: 0.02 });
  const { scales } = quantizeWeight(given, SCHEME);
  const quantized = quantizeBias(bias, scales, 0.02);
  for (const [c, code] of quantized.codes.entries()) {
    assert.ok(Math.abs(code) < 2 ** 31 - 1);
    assert.ok(Math.abs(code * quantized.scales[c]! - bias[c]!) < 1e-4 * Math.abs(bias[c]!));
  }
});

test('a bias that would overflow int32 raises the scale of its channel', () => {
  const bias = Float32Array.of(1000, 1000);
  const given = input([1e-9, -1e-9, 1, -1], 2, { bias, inputScale: 0.01 });
  const { scales } = quantizeWeight(given, SCHEME);
  assert.ok(scales[0]! > 1e-9 / 127);
  assert.equal(scales[1], Math.fround(1 / 127));
  const { codes } = quantizeBias(bias, scales, 0.01);
  assert.ok(Math.abs(codes[0]!) <= 2 ** 30 * 1.0001);
});

test('a zero channel without bias and an empty-range tensor stay finite', () => {
  const { codes, scales, sqnrDb } = quantizeWeight(input([0, 0], 1), SCHEME);
  assert.deepEqual([[...codes], [...scales], sqnrDb], [[0, 0], [1], Infinity]);
});

test('the least squared error is never worse than the largest magnitude', () => {
  fc.assert(
    fc.property(
      fc.array(fc.float({ min: -10, max: 10, noNaN: true }), { minLength: 4, maxLength: 64 }),
      (values) => {
        const most = quantizeWeight(input(values, 1), SCHEME);
        const mse = quantizeWeight(input(values, 1), { ...SCHEME, range: 'mse' });
        assert.ok(mse.sqnrDb >= most.sqnrDb - 1e-3);
      },
    ),
  );
});

test('weights on a grid come back exactly, and move by half a code otherwise', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -127, max: 127 }), { minLength: 1 }), (codes) => {
      const values = [...codes, 127].map((code) => code * 0.25);
      const quantized = quantizeWeight(input(values, 1), SCHEME);
      assert.deepEqual(
        [...dequantizeWeight(quantized, 1, 0)],
        values.map((value) => value + 0),
      );
    }),
  );
});
