import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { dequantizeLinear, quantizeLinear } from '../../../src/quantization/linear.ts';
import { activationParameters } from '../../../src/quantization/parameters.ts';

test('parameters worked by hand', () => {
  assert.deepEqual(activationParameters({ min: 0, max: 255 }), { scale: 1, zeroPoint: 0 });
  assert.deepEqual(activationParameters({ min: -128, max: 127 }), { scale: 1, zeroPoint: 128 });
  // -51 / 2 = -25.5 would be a half: it goes to the even 26
  assert.deepEqual(activationParameters({ min: -51, max: 459 }), { scale: 2, zeroPoint: 26 });
  // No negative values: zero point 0 though the least value is above zero.
  assert.deepEqual(activationParameters({ min: 10, max: 510 }), { scale: 2, zeroPoint: 0 });
  assert.deepEqual(activationParameters({ min: -510, max: -10 }), { scale: 2, zeroPoint: 255 });
  assert.deepEqual(activationParameters({ min: 0, max: 0 }), {
    ...{ scale: Math.fround(1 / 255), zeroPoint: 0 },
  });
});

test('the largest code never goes beyond the bound of a Clip', () => {
  for (const limit of [6, 1, 0.1, 20, 3.3]) {
    const { scale } = activationParameters({ min: 0, max: 100 }, limit);
    assert.ok(Math.fround(scale * 255) <= limit);
    assert.ok(scale * 255 > limit * (1 - 1e-6));
  }
});

const range = fc
  .tuple(
    fc.float({ min: -1e6, max: 1e6, noNaN: true }),
    fc.float({ min: -1e6, max: 1e6, noNaN: true }),
  )
  .filter(([a, b]) => Math.abs(a - b) > 1e-20)
  .map(([a, b]) => ({ min: Math.min(a, b), max: Math.max(a, b) }));

test('zero is exactly representable, whatever the range', () => {
  fc.assert(
    fc.property(range, (range) => {
      const parameters = activationParameters(range);
      const codes = quantizeLinear(Float32Array.of(0), parameters);
      assert.equal(dequantizeLinear(codes, parameters)[0], 0);
      assert.equal(parameters.scale, Math.fround(parameters.scale));
      assert.ok(Number.isInteger(parameters.zeroPoint));
    }),
  );
});

test('inside the range a value moves by half a code at most', () => {
  fc.assert(
    fc.property(range, fc.double({ min: 0, max: 1, noNaN: true }), (range, position) => {
      const parameters = activationParameters(range);
      const value = Math.fround(range.min + (range.max - range.min) * position);
      const [back = 0] = dequantizeLinear(
        quantizeLinear(Float32Array.of(value), parameters),
        parameters,
      );
      // The rounded zero point may move an end of the range by half a code; float32 adds its part.
      const atEnd = position < 0.01 || position > 0.99;
      const allowed = parameters.scale * (atEnd ? 1 : 0.5) + Math.abs(value) * 1e-6;
      assert.ok(Math.abs(value - back) <= allowed + parameters.scale * 1e-5);
    }),
  );
});
