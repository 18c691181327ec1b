import type { TensorRange } from '../parameters.ts';
import type { Histogram, Observer, ObserverState } from './observer.ts';
import { createRangeRecorder, mergeMinMax, rangeOf } from './min-max.ts';

/** Bins in use lie between half of this and this: 2048 to 4096, at least 8 a code of uint8. */
const BIN_CAPACITY = 4096;

/** Observes range and distribution in one pass; the bins widen as values arrive, losing no count. */
export function createHistogramObserver(tensor: string): Observer {
  const ranges = createRangeRecorder(tensor);
  let histogram: Histogram | undefined;
  return {
    observe(values, known) {
      const own = known ?? rangeOf(values, tensor);
      const { min, max } = ranges.record(values, own);
      histogram = counted(values, own, fitted(histogram, min, max));
    },
    finish: () => ({ ...ranges.finish(), ...(histogram === undefined ? {} : { histogram }) }),
  };
}

/** The state of both inputs seen together; the images of `a` come before those of `b`. */
export function mergeHistograms(a: ObserverState, b: ObserverState): ObserverState {
  const { histogram } = a;
  if (histogram === undefined) return mergeHistogramsInto(a, b);
  const copy = {
    ...histogram,
    counts: histogram.counts.slice(),
    relativeCounts: histogram.relativeCounts.slice(),
  };
  return mergeHistogramsInto({ ...a, histogram: copy }, b);
}

/** The same; the bins of `a` are counted on in place where they reach far enough. */
export function mergeHistogramsInto(a: ObserverState, b: ObserverState): ObserverState {
  const ranges = mergeMinMax(a, b);
  const { min, max } = ranges;
  const merged = fitted(a.histogram, min, max);
  return { ...ranges, histogram: b.histogram === undefined ? merged : addTo(merged, b.histogram) };
}

/** The distribution of all values of several tensors, of `sizes` values each, within `range`. */
export function joinHistograms(
  histograms: readonly Histogram[],
  sizes: readonly number[],
  { min, max }: TensorRange,
): Histogram {
  return histograms.reduce(
    // Samples of all tensors may be as large, whatever the size of the tensor.
    (joined, histogram, i) => addTo(joined, scaled(histogram, sizes[i]!)), // one size each
    fitted(undefined, min, max),
  );
}

/** The distribution of a function of values, taken at the middle of each bin, within `range`. */
export function mapHistogram(
  { exponent, firstBin, counts, relativeCounts }: Histogram,
  valueOf: (value: number) => number,
  { min, max }: TensorRange,
): Histogram {
  const mapped = fitted(undefined, min, max);
  const width = 2 ** exponent;
  let zeroCount = 0;
  let relativeZeroCount = 0;
  for (const [i, count] of counts.entries()) {
    if (count === 0) continue;
    const relative = relativeCounts[i]!; // the same bins
    const value = valueOf((firstBin + i + 0.5) * width);
    if (value === 0) {
      // A hard sigmoid makes many.
      zeroCount += count;
      relativeZeroCount += relative;
    }
    const bin = binOf(Math.min(Math.max(value, min), max), mapped.exponent) - mapped.firstBin;
    mapped.counts[bin]! += count; // within the range
    mapped.relativeCounts[bin]! += relative;
  }
  return { ...mapped, zeroCount, relativeZeroCount };
}

/** With as many counts as `size` in all, of either kind. */
function scaled(histogram: Histogram, size: number): Histogram {
  const factorOf = (counts: Float64Array): number => {
    const total = counts.reduce((sum, count) => sum + count, 0);
    return total === 0 ? 0 : size / total;
  };
  const { counts, zeroCount, relativeCounts, relativeZeroCount } = histogram;
  const [factor, relativeFactor] = [factorOf(counts), factorOf(relativeCounts)];
  return {
    ...histogram,
    counts: counts.map((count) => count * factor),
    zeroCount: zeroCount * factor,
    relativeCounts: relativeCounts.map((count) => count * relativeFactor),
    relativeZeroCount: relativeZeroCount * relativeFactor,
  };
}

/** The least exponent whose bins cover [min, max] within the capacity; grows with the range only. */
function exponentFor(min: number, max: number): number {
  const magnitude = Math.max(Math.abs(min), Math.abs(max));
  if (magnitude === 0) return -126;
  // Not finer than 2^-30 of the magnitude, so that indices stay small integers where all values are equal.
  let exponent = Math.max(Math.ceil(Math.log2(magnitude)) - 30, -126);
  if (max > min)
    exponent = Math.max(exponent, Math.floor(Math.log2((max - min) / BIN_CAPACITY)) - 1);
  while (binOf(max, exponent) - binOf(min, exponent) + 1 > BIN_CAPACITY) exponent += 1;
  return exponent;
}

function binOf(value: number, exponent: number): number {
  return Math.floor(value * 2 ** -exponent);
}

/** A histogram that covers [min, max] and holds the counts of `known`. */
function fitted(known: Histogram | undefined, min: number, max: number): Histogram {
  const exponent = exponentFor(min, max);
  const firstBin = binOf(min, exponent);
  const binCount = binOf(max, exponent) - firstBin + 1;
  if (
    known?.exponent === exponent &&
    known.firstBin === firstBin &&
    known.counts.length === binCount
  )
    return known;
  const empty = {
    exponent,
    firstBin,
    counts: new Float64Array(binCount),
    zeroCount: 0,
    relativeCounts: new Float64Array(binCount),
    relativeZeroCount: 0,
  };
  return known === undefined ? empty : addTo(empty, known);
}

/** Adds `source`, of finer or equal bins, to `target`, which covers it: its bins are counted on in place. */
function addTo(target: Histogram, source: Histogram): Histogram {
  const factor = 2 ** (source.exponent - target.exponent); // exact: a power of two
  for (let i = 0; i < source.counts.length; i += 1) {
    const bin = Math.floor((source.firstBin + i) * factor) - target.firstBin;
    // target covers source, so bin lies inside its counts
    target.counts[bin]! += source.counts[i]!;
    target.relativeCounts[bin]! += source.relativeCounts[i]!;
  }
  return {
    ...target,
    zeroCount: target.zeroCount + source.zeroCount,
    relativeZeroCount: target.relativeZeroCount + source.relativeZeroCount,
  };
}

/**
 * Neighbouring values often share a bin; a table for every second one lets their additions overlap. More
 * tables take more to empty: 38 µs with four of 4,096 values, 24 with two.
 */
const tables = new Int32Array(2 * BIN_CAPACITY);
/** Values in a turn of the loop over them. */
const UNROLLED = 4;

/**
 * Counts the values of one image, all within [min, max], into the bins. Faster than adding to `counts`
 * itself: an addition to the bin of the value before waits for that one to be stored.
 */
function counted(
  values: Float32Array,
  { min, max }: TensorRange,
  { exponent, firstBin, counts, zeroCount, relativeCounts, relativeZeroCount }: Histogram,
): Histogram {
  const factor = 2 ** -exponent; // exact: a power of two
  const bits = new Int32Array(values.buffer, values.byteOffset, values.length);
  const wholeCount = values.length - (values.length % UNROLLED);
  let ownZeroCount = 0;
  let squares = 0;
  // Every index is below the length, and the bins cover every value. Shifting out the sign makes -0
  // a zero too; without a branch, since a ReLU's zeros come in no pattern a CPU could foresee.
  for (let i = 0; i < wholeCount; i += UNROLLED) {
    const a = values[i]!;
    const b = values[i + 1]!;
    const c = values[i + 2]!;
    const d = values[i + 3]!;
    tables[(Math.floor(a * factor) | 0) - firstBin]! += 1;
    tables[(Math.floor(b * factor) | 0) - firstBin + BIN_CAPACITY]! += 1;
    tables[(Math.floor(c * factor) | 0) - firstBin]! += 1;
    tables[(Math.floor(d * factor) | 0) - firstBin + BIN_CAPACITY]! += 1;
    squares += a * a + b * b + (c * c + d * d);
    ownZeroCount += Number(bits[i]! << 1 === 0) + Number(bits[i + 1]! << 1 === 0);
    ownZeroCount += Number(bits[i + 2]! << 1 === 0) + Number(bits[i + 3]! << 1 === 0);
  }
  for (let i = wholeCount; i < values.length; i += 1) {
    const value = values[i]!;
    tables[Math.floor(value * factor) - firstBin]! += 1;
    squares += value * value;
    ownZeroCount += Number(bits[i]! << 1 === 0);
  }
  const weight = squares === 0 ? 0 : values.length / squares;
  // One image seldom reaches as far as all, and there are more bins than values.
  const last = binOf(max, exponent) - firstBin;
  for (let bin = binOf(min, exponent) - firstBin; bin <= last; bin += 1) {
    const own = tables[bin]! + tables[bin + BIN_CAPACITY]!;
    tables[bin] = 0;
    tables[bin + BIN_CAPACITY] = 0;
    counts[bin]! += own;
    relativeCounts[bin]! += own * weight;
  }
  return {
    ...{ exponent, firstBin, counts, relativeCounts },
    zeroCount: zeroCount + ownZeroCount,
    relativeZeroCount: relativeZeroCount + ownZeroCount * weight,
  };
}
