import { entropyRange } from './observers/entropy.ts';
import { l2HistogramRange } from './observers/l2-histogram.ts';
import { meanRange } from './observers/mean-range.ts';
import { movingAverageRange } from './observers/moving-average.ts';
import { mseRange, relativeMseRange } from './observers/mse.ts';
import type { ObserverState } from './observers/observer.ts';
import { percentileRange } from './observers/percentile.ts';
import type { TensorRange } from './parameters.ts';
import type { RangeMethod } from './choices.ts';

export interface RangeChoice {
  readonly method: RangeMethod;
  /** Share of values that a range keeps, in percent; for the method of that name. */
  readonly percentile: number;
}

/** What must be observed for a method's ranges. */
export function observerFor(method: RangeMethod): 'min-max' | 'histogram' {
  const needsRangesOnly: readonly RangeMethod[] = ['min-max', 'mean-min-max', 'moving-average'];
  return needsRangesOnly.includes(method) ? 'min-max' : 'histogram';
}

/** The range to quantize of one tensor. */
export function chooseRange(
  state: ObserverState,
  { method, percentile }: RangeChoice,
): TensorRange {
  switch (method) {
    case 'min-max':
      return { min: state.min, max: state.max };
    case 'mean-min-max':
      return meanRange(state);
    case 'moving-average':
      return movingAverageRange(state);
    case 'percentile':
      return percentileRange(state, percentile);
    case 'entropy':
      return entropyRange(state);
    case 'mse':
      return mseRange(state);
    case 'relative-mse':
      return relativeMseRange(state);
    case 'l2-histogram':
      return l2HistogramRange(state);
  }
}

/** The ranges of all tensors, as a calibration table holds them. */
export function chooseRanges(
  states: ReadonlyMap<string, ObserverState>,
  choice: RangeChoice,
): Record<string, TensorRange> {
  return Object.fromEntries(
    [...states].map(([tensor, state]) => [tensor, chooseRange(state, choice)]),
  );
}
