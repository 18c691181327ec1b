import { saturate } from '../../numeric/rounding.ts';
import type { TensorRange } from '../parameters.ts';
import type { ObserverState } from './observer.ts';

/** Levels the distribution is reduced to, for either kind of tensor: MXNet's 255, odd so that zero has one. */
const LEVEL_COUNT = 255;

/**
 * Of what was counted. Where the values begin far from zero, a candidate that holds only the first of them
 * has all others in its last bin and diverges from nothing: the divergence would choose it.
 */
const LEAST_KEPT_FRACTION = 0.5;

/** Values that lie within a part of the way from zero this small meet few levels: there is nothing to clip. */
const LEAST_SPREAD_FRACTION = 1 / 16;

/** What stands for an empty bin, so that the divergence stays finite (as MXNet and onnxruntime). */
const SMOOTHING = 1e-4;

/**
 * The range whose 255 levels lose the least information: the least Kullback-Leibler divergence
 * between the distribution with everything beyond the threshold moved to the last bin, and the same
 * reduced to levels (Migacz, 8-bit inference with TensorRT, 2017; onnxruntime's
 * `get_entropy_threshold`, which with its default of 128 bins has a single candidate). Tensors of one
 * sign are searched from zero on, others over thresholds of the same distance on both sides. Exact
 * zeros are left out: they cost nothing at any threshold, and the spike a ReLU makes of them would
 * decide alone.
 */
export function entropyRange({ min, max, histogram }: ObserverState): TensorRange {
  if (histogram === undefined || min === max) return { min, max };
  const { firstBin, exponent, zeroCount } = histogram;
  const counts = Float64Array.from(histogram.counts);
  // Zeros, if any were seen, are counted in bin 0.
  if (zeroCount > 0) counts[-firstBin]! -= zeroCount;
  const lastBin = firstBin + counts.length - 1;
  const twoSided = min < 0 && max > 0;
  const reach = Math.max(lastBin + 1, -firstBin);
  if (counts.length < LEAST_SPREAD_FRACTION * reach) return { min, max };
  // [-reach, reach) where there are two sides, else [0, reach) counted away from zero.
  const spread = new Float64Array(twoSided ? 2 * reach : reach);
  for (const [i, count] of counts.entries()) {
    const bin = firstBin + i;
    spread[twoSided ? bin + reach : bin >= 0 ? bin : -1 - bin]! += count;
  }
  const threshold =
    (twoSided ? symmetricThreshold(spread) : oneSidedThreshold(spread)) * 2 ** exponent;
  return {
    min: Math.min(max, saturate(-threshold, min, Math.max(min, 0))),
    max: Math.max(min, saturate(threshold, Math.min(max, 0), max)),
  };
}

/** Bins of [0, n) to keep. */
export function oneSidedThreshold(counts: Float64Array, levelCount = LEVEL_COUNT): number {
  const sums = prefixSums(counts);
  return leastDivergent(levelCount, counts.length, (kept) =>
    divergence(counts, sums, { start: 0, end: kept, levelCount }),
  );
}

/** Bins on either side of the middle of an even number of bins to keep. */
export function symmetricThreshold(counts: Float64Array, levelCount = LEVEL_COUNT): number {
  const middle = counts.length / 2;
  const sums = prefixSums(counts);
  return leastDivergent(Math.ceil(levelCount / 2), middle, (kept) =>
    divergence(counts, sums, { start: middle - kept, end: middle + kept, levelCount }),
  );
}

function leastDivergent(from: number, to: number, divergenceOf: (kept: number) => number): number {
  let [best, least] = [to, Infinity];
  for (let kept = from; kept <= to; kept += 1) {
    const value = divergenceOf(kept);
    if (value >= least) continue;
    [best, least] = [kept, value];
  }
  return best;
}

interface PrefixSums {
  /** Of the counts, of count * log(count), and of bins that hold anything: entry i sums bins [0, i). */
  readonly count: Float64Array;
  readonly logCount: Float64Array;
  readonly filled: Float64Array;
}

function prefixSums(counts: Float64Array): PrefixSums {
  const sums = {
    count: new Float64Array(counts.length + 1),
    logCount: new Float64Array(counts.length + 1),
    filled: new Float64Array(counts.length + 1),
  };
  for (const [i, count] of counts.entries()) {
    sums.count[i + 1] = sums.count[i]! + count; // the arrays are one longer than counts
    sums.logCount[i + 1] = sums.logCount[i]! + (count > 0 ? count * Math.log(count) : 0);
    sums.filled[i + 1] = sums.filled[i]! + (count > 0 ? 1 : 0);
  }
  return sums;
}

/**
 * sum p log(p / q) over bins [start, end): p with the outliers added to its ends, q the mean of the
 * filled bins of each level, the remainder of the division in the last level. Prefix sums make a
 * candidate cost levels, not bins.
 */
function divergence(
  counts: Float64Array,
  sums: PrefixSums,
  { start, end, levelCount }: { start: number; end: number; levelCount: number },
): number {
  const total = counts.length;
  const merged = Math.floor((end - start) / levelCount);
  const below = sums.count[start]!;
  const above = sums.count[total]! - sums.count[end]!;
  const everything = sums.count[total]!;
  const kept = everything - below - above;
  if (kept === 0 || kept < LEAST_KEPT_FRACTION * everything) return Infinity;
  // p and q have different sums where there are outliers; both are normalized.
  let crossLog = 0;
  for (let level = 0; level < levelCount; level += 1) {
    const from = start + level * merged;
    const to = level === levelCount - 1 ? end : from + merged;
    let count = sums.count[to]! - sums.count[from]!;
    let filled = sums.filled[to]! - sums.filled[from]!;
    // A bin that holds nothing but outliers counts as filled, as in onnxruntime.
    if (from === start && below > 0 && counts[start] === 0) filled += 1;
    if (to === end && above > 0 && counts[end - 1] === 0) filled += 1;
    const logMean = filled === 0 ? 0 : Math.log(count > 0 ? count / filled : SMOOTHING);
    if (from === start) count += below;
    if (to === end) count += above;
    crossLog += count * logMean;
  }
  const first = counts[start]!;
  const last = counts[end - 1]!;
  const selfLog =
    sums.logCount[end]! -
    sums.logCount[start]! +
    withOutliers(first, below) +
    withOutliers(last, above);
  return (selfLog - crossLog) / everything - Math.log(everything) + Math.log(kept);
}

/** What `count * log(count)` gains where outliers join a bin. */
function withOutliers(count: number, outliers: number): number {
  const term = (value: number): number => (value > 0 ? value * Math.log(value) : 0);
  return term(count + outliers) - term(count);
}
