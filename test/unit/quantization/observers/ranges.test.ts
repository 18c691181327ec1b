import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createHistogramObserver } from '../../../../src/quantization/observers/histogram.ts';
import { meanRange } from '../../../../src/quantization/observers/mean-range.ts';
import { mseRange } from '../../../../src/quantization/observers/mse.ts';
import { percentileRange } from '../../../../src/quantization/observers/percentile.ts';
import { dequantizeLinear, quantizeLinear } from '../../../../src/quantization/linear.ts';
import { activationParameters, type TensorRange } from '../../../../src/quantization/parameters.ts';
import { normalValues } from '../../../support/quantize-one.ts';

function stateOf(values: Float32Array) {
  const observer = createHistogramObserver('tensor');
  observer.observe(values);
  return observer.finish();
}

function squaredError(values: Float32Array, range: TensorRange): number {
  const parameters = activationParameters(range);
  const back = dequantizeLinear(quantizeLinear(values, parameters), parameters);
  return values.reduce((sum, value, i) => sum + (value - back[i]!) ** 2, 0);
}

test('the mean range counts each image once, in whatever order', () => {
  const images = [Float32Array.of(-1, 3), Float32Array.of(0, 5), Float32Array.of(-2, 100)];
  const rangeOf = (order: readonly Float32Array[]): TensorRange => {
    const observer = createHistogramObserver('tensor');
    for (const values of order) observer.observe(values);
    return meanRange(observer.finish());
  };
  assert.deepEqual(rangeOf(images), { min: -1, max: 36 });
  assert.deepEqual(rangeOf(images.toReversed()), { min: -1, max: 36 });
});

test('percentiles of 0 to 999 leave out the share that was asked for', () => {
  const values = Float32Array.from({ length: 1000 }, (_, i) => i);
  const { min, max } = percentileRange(stateOf(values), 99);
  assert.equal(min, 0);
  // One-sided: ten of a thousand values may lie above; bins are a quarter wide.
  assert.ok(max >= 989 && max <= 990, String(max));
  assert.deepEqual(percentileRange(stateOf(values), 100), { min: 0, max: 999 });
});

test('two-sided tensors lose half at each end', () => {
  const values = Float32Array.from({ length: 2001 }, (_, i) => i - 1000);
  const { min, max } = percentileRange(stateOf(values), 99);
  assert.ok(min >= -991 && min <= -989, String(min));
  assert.ok(max >= 989 && max <= 991, String(max));
});

test('percentile ranges grow with the percentile and hold zero', () => {
  const state = stateOf(normalValues('percentile', 5000));
  fc.assert(
    fc.property(
      fc.double({ min: 50, max: 100, noNaN: true }),
      fc.double({ min: 50, max: 100, noNaN: true }),
      (a, b) => {
        const narrow = percentileRange(state, Math.min(a, b));
        const wide = percentileRange(state, Math.max(a, b));
        assert.ok(wide.min <= narrow.min && wide.max >= narrow.max);
        assert.ok(narrow.min <= 0 && narrow.max >= 0);
      },
    ),
  );
});

test('an outlier is clipped where that lessens the squared error', () => {
  const values = normalValues('outlier', 400_000);
  values[0] = 10;
  const range = mseRange(stateOf(values));
  // All of [-5, 10] costs (15 / 255)^2 / 12 a value, 115 together; to 5 it is 51, and 25 for the outlier.
  assert.ok(range.max < 8, String(range.max));
  assert.ok(squaredError(values, range) < 0.8 * squaredError(values, { min: -5, max: 10 }));
});

test('the range found is as good as the best of a fine grid', () => {
  const values = normalValues('grid', 20_000).map((value) => Math.max(value, 0) ** 2);
  const top = Math.max(...values);
  const found = squaredError(values, mseRange(stateOf(values)));
  let best = Infinity;
  for (let step = 20; step <= 200; step += 1) {
    best = Math.min(best, squaredError(values, { min: 0, max: (top * step) / 200 }));
  }
  assert.ok(found <= best * 1.02, `${found} ${best}`);
});

test('degenerate tensors keep what was seen', () => {
  assert.deepEqual(mseRange(stateOf(Float32Array.of(0, 0))), { min: 0, max: 0 });
  assert.deepEqual(percentileRange(stateOf(Float32Array.of(0, 0)), 99), { min: 0, max: 0 });
  const { max } = mseRange(stateOf(Float32Array.of(3, 3, 3)));
  assert.ok(max > 2.9 && max <= 3);
});
