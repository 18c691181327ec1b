import { saturate } from '../../numeric/rounding.ts';
import { UINT8_MAX, type TensorRange } from '../parameters.ts';
import type { ObserverState } from './observer.ts';

/** Codes of uint8: PyTorch's `dst_nbins`. */
const CODE_COUNT = UINT8_MAX + 1;

/** How much of all counts a step of the search leaves out at most, as in PyTorch. */
const STEP = 1e-5;

/**
 * The range PyTorch's HistogramObserver finds (`_non_linear_param_search`): beginning with all bins it
 * drops bins at the end where a step of the quantiles leaves more of them out, as long as the L2 norm
 * of the quantization error does not grow. Here over 2048 to 4096 bins. Never wider than what was
 * seen; holds zero.
 */
export function l2HistogramRange({ min, max, histogram }: ObserverState): TensorRange {
  if (histogram === undefined || min === max) return { min, max };
  const { firstBin, lastBin } = searchBins(histogram.counts);
  const width = 2 ** histogram.exponent;
  const low = (histogram.firstBin + firstBin) * width;
  const high = (histogram.firstBin + lastBin + 1) * width;
  return {
    min: saturate(low, min, Math.max(min, Math.min(max, 0))),
    max: saturate(high, Math.min(max, Math.max(min, 0)), max),
  };
}

/** The first and last bin to keep of bins of equal width. */
export function searchBins(counts: Float64Array): { firstBin: number; lastBin: number } {
  const cumulative = new Float64Array(counts.length);
  let total = 0;
  for (const [i, count] of counts.entries()) {
    total += count;
    cumulative[i] = total;
  }
  const lowest = 0;
  let [firstBin, lastBin] = [lowest, counts.length - 1];
  let [alpha, beta] = [0, 1];
  let least = Infinity;
  while (alpha < beta) {
    const nextAlpha = alpha + STEP;
    const nextBeta = beta - STEP;
    let [left, right] = [firstBin, lastBin];
    // left and right stay between firstBin and lastBin
    while (left < lastBin && cumulative[left]! < nextAlpha * total) left += 1;
    while (right > firstBin && cumulative[right]! > nextBeta * total) right -= 1;
    let [nextFirst, nextLast] = [firstBin, lastBin];
    if (left - firstBin > lastBin - right) {
      nextFirst = left;
      alpha = nextAlpha;
    } else {
      nextLast = right;
      beta = nextBeta;
    }
    if (nextFirst === firstBin && nextLast === lastBin) continue;
    const error = quantizationError(counts, nextFirst, nextLast);
    if (error > least) break;
    least = error;
    [firstBin, lastBin] = [nextFirst, nextLast];
  }
  return { firstBin, lastBin };
}

/**
 * The squared error of quantizing to the bins [firstBin, lastBin], values spread evenly in their bin,
 * in units of bin widths (`_compute_quantization_error`).
 */
function quantizationError(counts: Float64Array, firstBin: number, lastBin: number): number {
  const codeWidth = (lastBin - firstBin + 1) / CODE_COUNT;
  let error = 0;
  for (let bin = 0; bin < counts.length; bin += 1) {
    const count = counts[bin]!; // bin < length
    if (count === 0) continue;
    const begin = bin - firstBin;
    const end = begin + 1;
    const beginCode = saturate(Math.floor(begin / codeWidth), 0, UINT8_MAX);
    const endCode = saturate(Math.floor(end / codeWidth), 0, UINT8_MAX);
    const half = codeWidth / 2;
    error +=
      count *
      (cubeDifference(begin - (beginCode + 0.5) * codeWidth, half) +
        (endCode - beginCode - 1) * cubeDifference(-half, half) +
        cubeDifference(-half, end - (endCode + 0.5) * codeWidth));
  }
  return error;
}

/** The integral of x^2 from `begin` to `end`. */
function cubeDifference(begin: number, end: number): number {
  return (end * end * end - begin * begin * begin) / 3;
}
