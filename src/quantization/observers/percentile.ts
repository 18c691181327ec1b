import type { TensorRange } from '../parameters.ts';
import type { ObserverState } from './observer.ts';

/**
 * The range that leaves out at most (100 - percentile) % of the values, half of them at each end
 * where the tensor has both signs, all of them above where it has none below zero. Bounds are bin
 * edges, never outside what was seen.
 */
export function percentileRange(state: ObserverState, percentile: number): TensorRange {
  const { min, max, histogram } = state;
  if (histogram === undefined) return { min, max };
  const { counts, firstBin, exponent } = histogram;
  const total = counts.reduce((sum, count) => sum + count, 0);
  const outside = (total * (100 - percentile)) / 100;
  const oneSided = min >= 0 || max <= 0;
  const allowed = oneSided ? outside : outside / 2;
  const width = 2 ** exponent;

  let high = counts.length;
  for (let dropped = 0; high > 1; high -= 1) {
    dropped += counts[high - 1]!; // high - 1 is a bin
    if (dropped > allowed) break;
  }
  let low = 0;
  for (let dropped = 0; low < counts.length - 1; low += 1) {
    dropped += counts[low]!; // low is a bin
    if (dropped > allowed) break;
  }
  return {
    min: min >= 0 ? min : Math.min(Math.max(min, (firstBin + low) * width), 0),
    max: max <= 0 ? max : Math.max(Math.min(max, (firstBin + high) * width), 0),
  };
}
