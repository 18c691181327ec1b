import { saturate } from '../../numeric/rounding.ts';
import { activationParameters, type TensorRange } from '../parameters.ts';
import type { Histogram, ObserverState } from './observer.ts';

/**
 * The range whose uint8 quantization has the least squared error over the histogram: first a coarse
 * grid for both ends together, then ever finer steps for one end at a time. Values stand at the
 * middle of their bin, exact zeros at zero. Never wider than what was seen.
 */
export function mseRange(state: ObserverState): TensorRange {
  return rangeOfLeastError(state, ({ counts, zeroCount }) => ({ counts, zeroCount }));
}

/**
 * The same for the mean of the images' relative squared errors: an image with small values counts like
 * one with large ones, whose noise it would drown in. A network's outputs follow each image by its own.
 */
export function relativeMseRange(state: ObserverState): TensorRange {
  return rangeOfLeastError(state, ({ relativeCounts, relativeZeroCount }) => ({
    counts: relativeCounts,
    zeroCount: relativeZeroCount,
  }));
}

function rangeOfLeastError(
  state: ObserverState,
  weightsOf: (histogram: Histogram) => Pick<Histogram, 'counts' | 'zeroCount'>,
): TensorRange {
  const { histogram } = state;
  const min = Math.min(state.min, 0);
  const max = Math.max(state.max, 0);
  if (histogram === undefined || min === max) return { min: state.min, max: state.max };
  const points = weightedPoints(state, { ...histogram, ...weightsOf(histogram) });

  let best = { low: 1, high: 1, error: squaredError(points, { min, max }) };
  const attempt = (low: number, high: number): void => {
    if (low < 0.02 || high < 0.02 || low > 1 || high > 1) return;
    const error = squaredError(points, { min: min * low, max: max * high }, best.error);
    if (error < best.error) best = { low, high, error };
  };
  const stepCount = min < 0 && max > 0 ? COARSE_STEPS / 2 : COARSE_STEPS;
  const coarse = Array.from({ length: stepCount }, (_, i) => 1 - i / stepCount);
  for (const low of min < 0 ? coarse : [1]) {
    for (const high of max > 0 ? coarse : [1]) attempt(low, high);
  }
  for (let step = 0.5 / stepCount; step > 1e-4; step /= 2) {
    const { low, high } = best;
    for (const delta of [-step, step]) {
      if (min < 0) attempt(low + delta, best.high);
      if (max > 0) attempt(best.low, high + delta);
    }
  }
  return { min: min * best.low, max: max * best.high };
}

/** Of one end; half as many where both are searched, which multiply. */
const COARSE_STEPS = 24;

interface WeightedPoints {
  readonly values: Float64Array;
  readonly counts: Float64Array;
}

/** The bins that hold anything, as values with counts. */
function weightedPoints(
  { min, max }: TensorRange,
  histogram: Pick<Histogram, 'exponent' | 'firstBin' | 'counts' | 'zeroCount'>,
): WeightedPoints {
  const values: number[] = [];
  const counts: number[] = [];
  const width = 2 ** histogram.exponent;
  for (let i = 0; i < histogram.counts.length; i += 1) {
    const bin = histogram.firstBin + i;
    let count = histogram.counts[i]!; // i < length
    if (bin === 0) count -= histogram.zeroCount; // they cost nothing: zero is exact
    if (count <= 0) continue; // less by the rounding of sums
    values.push(saturate((bin + 0.5) * width, min, max));
    counts.push(count);
  }
  return { values: Float64Array.from(values), counts: Float64Array.from(counts) };
}

/** Or something not below `limit` as soon as it is reached: what is clipped comes first. */
function squaredError(
  { values, counts }: WeightedPoints,
  range: TensorRange,
  limit = Infinity,
): number {
  const { scale, zeroPoint } = activationParameters(range);
  const low = -zeroPoint;
  const high = 255 - zeroPoint;
  const inverse = 1 / scale;
  let error = 0;
  for (let end = values.length; end > 0 && error < limit; end -= STRETCH) {
    // Indices are below the length of both.
    for (let i = Math.max(0, end - STRETCH); i < end; i += 1) {
      const value = values[i]!;
      const code = Math.round(value * inverse);
      const limited = code < low ? low : code > high ? high : code;
      const difference = value - limited * scale;
      error += counts[i]! * difference * difference;
    }
  }
  return error;
}

const STRETCH = 128;
