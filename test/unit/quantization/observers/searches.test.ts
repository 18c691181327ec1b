import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { chooseRange } from '../../../../src/quantization/choose-range.ts';
import {
  entropyRange,
  oneSidedThreshold,
  symmetricThreshold,
} from '../../../../src/quantization/observers/entropy.ts';
import { createHistogramObserver } from '../../../../src/quantization/observers/histogram.ts';
import {
  l2HistogramRange,
  searchBins,
} from '../../../../src/quantization/observers/l2-histogram.ts';
import { movingAverageRange } from '../../../../src/quantization/observers/moving-average.ts';
import { activationParameters } from '../../../../src/quantization/parameters.ts';
import { normalValues } from '../../../support/quantize-one.ts';
import { RANGE_METHODS } from '../../../../src/quantization/choices.ts';

function observed(...images: readonly (readonly number[] | Float32Array)[]) {
  const observer = createHistogramObserver('tensor');
  for (const image of images) observer.observe(Float32Array.from(image));
  return observer.finish();
}

/** Made by the same formulas in Python, with integer counts, for the figures cited below. */
const decaying = Float64Array.from(
  { length: 2048 },
  (_, i) => Math.floor(100_000 * Math.exp(-i / 150)) + ((i * 7919) % 13),
);
const bell = Float64Array.from(
  { length: 2048 },
  (_, i) => Math.floor(50_000 * Math.exp(-(((i - 900) / 180) ** 2))) + (i % 50 === 0 ? 1 : 0),
);

test('the L2 search keeps the bins PyTorch’s HistogramObserver keeps', () => {
  // torch 2.15, HistogramObserver(bins=2048)._non_linear_param_search(): [0, 1948] and [401, 1399].
  assert.deepEqual(searchBins(decaying), { firstBin: 0, lastBin: 1947 });
  assert.deepEqual(searchBins(bell), { firstBin: 401, lastBin: 1398 });
});

test('entropy thresholds are those of MXNet’s search written out bin by bin', () => {
  // numpy 2.4: p with outliers at its ends, q by level means over filled bins, 1e-4 for empty levels.
  assert.equal(oneSidedThreshold(decaying), 2039);
  assert.equal(oneSidedThreshold(decaying, 128), 2047);
  assert.equal(symmetricThreshold(bell), 728);
  const far = decaying.map((count, i) => (i >= 600 ? 0 : count));
  far[2000] = 500;
  assert.equal(oneSidedThreshold(far), 2001);
});

test('a moving average follows the images in their order', () => {
  const state = observed([-1, 4], [-2, 3], [0.5, 10], [-0.25, 2]);
  const { min, max } = movingAverageRange(state);
  // torch 2.15, MovingAverageMinMaxObserver(averaging_constant=0.01).
  assert.ok(Math.abs(min + 0.9874510169) < 1e-6, String(min));
  assert.ok(Math.abs(max - 4.0295987129) < 1e-6, String(max));
  // By hand: 2 + 0.01 (4 - 2).
  assert.deepEqual(movingAverageRange(observed([0, 2], [0, 4])), { min: 0, max: 2.02 });
});

test('entropy and L2 clip what is far out, and a spike of zeros does not decide', () => {
  const values = normalValues('far', 100_000);
  const far = observed([...values, 40]);
  assert.ok(entropyRange(far).max < 20);
  assert.ok(l2HistogramRange(far).max < 20);
  const positive = values.map(Math.abs);
  const withZeros = observed([...positive, ...new Float32Array(300_000)]);
  assert.equal(entropyRange(withZeros).max, entropyRange(observed(positive)).max);
});

test('entropy keeps the bulk of values that begin far from zero, and ends for any of them', () => {
  const uniform = Float32Array.from({ length: 20_000 }, (_, i) => i / 20_000);
  const between = (low: number, high: number) =>
    observed(uniform.map((value) => low + (high - low) * value));
  // Half of the values at least stay inside.
  assert.ok(entropyRange(between(5, 10)).max >= 7.5);
  assert.ok(entropyRange(between(-10, -5)).min <= -7.5);
  assert.ok(entropyRange(between(0.095, 0.959)).max >= 0.5);
  const bell = normalValues('far bell', 70_000).map((value) => value + 6);
  assert.ok(entropyRange(observed([...bell, ...new Float32Array(30_000)])).max >= 6);
  // Near 1 only: the bins from zero on would be a thousand million.
  const { max } = observed([0.999999, 1]);
  assert.equal(entropyRange(between(0.999999, 1)).max, max);
});

test('relative MSE minds each image by its own size', () => {
  // 63 images of the same values at a sixteenth of the size of one.
  const large = normalValues('size', 4096).map(Math.abs);
  const small = large.map((value) => value / 16);
  const state = observed(large, ...Array.from({ length: 63 }, () => small));
  const [absolute, relative] = (['mse', 'relative-mse'] as const).map(
    (method) => chooseRange(state, { method, percentile: 99.9 }).max,
  );
  const errorOf = (image: Float32Array, max: number): number => {
    const { scale } = activationParameters({ min: 0, max });
    const squares = image.reduce((sum, value) => sum + value * value, 0);
    return (
      image.reduce((sum, value) => {
        const code = Math.min(Math.round(value / scale), 255);
        return sum + (value - code * scale) ** 2;
      }, 0) / squares
    );
  };
  const meanError = (max: number): number => (errorOf(large, max) + 63 * errorOf(small, max)) / 64;
  // By itself, without histograms: the best of 400 ranges.
  const seen = Math.max(...large);
  const best = Math.min(
    ...Array.from({ length: 400 }, (_, i) => meanError((seen * (i + 1)) / 400)),
  );
  assert.ok(meanError(relative!) < 1.02 * best, `${meanError(relative!)} ${best}`);
  assert.ok(meanError(absolute!) > 1.5 * best, `${meanError(absolute!)} ${best}`);
});

test('every method’s range lies in what was seen, and zero stays exact', () => {
  const value = fc.oneof(
    fc.float({ min: -100, max: 100, noNaN: true }),
    fc.constantFrom(0, 6, -1e-20, 1e-20),
  );
  const images = fc.array(fc.array(value, { minLength: 1, maxLength: 30 }), {
    minLength: 1,
    maxLength: 4,
  });
  fc.assert(
    fc.property(images, (batch) => {
      const state = observed(...batch);
      for (const method of RANGE_METHODS) {
        const range = chooseRange(state, { method, percentile: 99.9 });
        const shown = `${method} ${JSON.stringify({ range, min: state.min, max: state.max })}`;
        // Zero may be added to hold it; the average is rounded.
        const slack = 1e-6 * Math.max(Math.abs(state.min), Math.abs(state.max));
        assert.ok(range.min <= range.max, shown);
        assert.ok(range.min >= Math.min(state.min, 0) - slack, shown);
        assert.ok(range.max <= Math.max(state.max, 0) + slack, shown);
        const { scale, zeroPoint } = activationParameters(range);
        assert.ok(scale > 0 && zeroPoint >= 0 && zeroPoint <= 255, shown);
      }
    }),
    { numRuns: 60 },
  );
});

test('constant and all-zero tensors keep their value', () => {
  for (const method of RANGE_METHODS) {
    const zero = chooseRange(observed([0, 0]), { method, percentile: 99.9 });
    assert.deepEqual([zero.min + 0, zero.max + 0], [0, 0], method);
    const { max } = chooseRange(observed([3, 3]), { method, percentile: 99.9 });
    assert.ok(max > 2.9 && max <= 3, method);
    const { min } = chooseRange(observed([-3, -3]), { method, percentile: 99.9 });
    assert.ok(min < -2.9 && min >= -3, `${method} ${min}`);
  }
});
