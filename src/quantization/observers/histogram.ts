import type { Histogram, Observer, ObserverState } from './observer.ts';
import { rangeOf } from './min-max.ts';

/** Bins in use lie between half of this and this: 2048 to 4096, at least 8 a code of uint8. */
const BIN_CAPACITY = 4096;

/** Observes range and distribution in one pass; the bins widen as values arrive, losing no count. */
export function createHistogramObserver(tensor: string): Observer {
  let min = Infinity;
  let max = -Infinity;
  let histogram: Histogram | undefined;
  return {
    observe(values) {
      const range = rangeOf(values, tensor);
      min = Math.min(min, range.min);
      max = Math.max(max, range.max);
      histogram = fitted(histogram, min, max);
      histogram = { ...histogram, zeroCount: histogram.zeroCount + count(values, histogram) };
    },
    finish: () => (histogram === undefined ? { min, max } : { min, max, histogram }),
  };
}

/** The state of both inputs seen together: the same whichever comes first. */
export function mergeHistograms(a: ObserverState, b: ObserverState): ObserverState {
  const min = Math.min(a.min, b.min);
  const max = Math.max(a.max, b.max);
  const sources = [a.histogram, b.histogram].filter((histogram) => histogram !== undefined);
  const merged = fitted(undefined, min, max);
  let zeroCount = 0;
  for (const source of sources) {
    addTo(merged, source);
    zeroCount += source.zeroCount;
  }
  return { min, max, histogram: { ...merged, zeroCount } };
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
  const result = {
    exponent,
    firstBin,
    counts: new Float64Array(binCount),
    zeroCount: known?.zeroCount ?? 0,
  };
  if (known !== undefined) addTo(result, known);
  return result;
}

/** Adds counts of finer or equal bins; `target` covers `source`. */
function addTo(target: Histogram, source: Histogram): void {
  const divisor = 2 ** (target.exponent - source.exponent);
  for (let i = 0; i < source.counts.length; i += 1) {
    const bin = Math.floor((source.firstBin + i) / divisor) - target.firstBin;
    // target covers source, so bin lies inside its counts
    target.counts[bin] = target.counts[bin]! + source.counts[i]!;
  }
}

/** Counts `values` into the bins and returns how many are exactly zero. */
function count(values: Float32Array, { exponent, firstBin, counts }: Histogram): number {
  const factor = 2 ** -exponent; // exact: a power of two
  const bits = new Int32Array(values.buffer, values.byteOffset, values.length);
  let zeroCount = 0;
  for (let i = 0; i < values.length; i += 1) {
    // i < length, and the bins cover every value. Shifting out the sign makes -0 a zero too; without
    // a branch, since the zeros of a ReLU come in no pattern a CPU could foresee.
    zeroCount += Number(bits[i]! << 1 === 0);
    counts[Math.floor(values[i]! * factor) - firstBin]! += 1;
  }
  return zeroCount;
}
