import { roundToNearestPlane, type NearestPlaneInput } from './nearest-plane.ts';

/**
 * Inputs of a row up to which its scale is searched. Where a layer's inputs all move together, as the
 * pixels under a depthwise filter do on smooth images, what an output errs by is the error of the sum
 * of its weights; the codes can only bring that sum to a multiple of the scale, so half a step of it
 * may stay whatever they are. Another scale moves the multiples. In long rows inputs differ enough.
 */
export const LARGEST_SEARCHED = 32;

/** Codes [M, K] and the scale of each row, among slightly larger ones than given, that cost least. */
export async function roundWithFreeScales(
  input: NearestPlaneInput,
): Promise<{ readonly codes: Int8Array; readonly scales: Float32Array }> {
  const { weights, covariance } = input;
  const rowCount = input.scales.length;
  const size = weights.length / rowCount;
  // Every row once for each of its scales.
  const triedWeights = new Float32Array(weights.length * FACTORS.length);
  const triedScales = new Float32Array(rowCount * FACTORS.length);
  for (const [n, factor] of FACTORS.entries()) {
    triedWeights.set(weights, n * weights.length);
    for (const [row, scale] of input.scales.entries()) {
      triedScales[n * rowCount + row] = scale * factor;
    }
  }
  const tried = await roundToNearestPlane({
    ...input,
    weights: triedWeights,
    scales: triedScales,
  });
  const codes = new Int8Array(weights.length);
  const scales = new Float32Array(rowCount);
  for (let row = 0; row < rowCount; row += 1) {
    const rowWeights = weights.subarray(row * size, (row + 1) * size);
    let least = Infinity;
    for (let n = 0; n < FACTORS.length; n += 1) {
      const at = n * rowCount + row; // below rowCount · FACTORS.length
      const rowCodes = tried.subarray(at * size, (at + 1) * size);
      const scale = triedScales[at]!;
      const cost = costOf(rowWeights, rowCodes, scale, covariance);
      if (cost >= least) continue;
      least = cost;
      scales[row] = scale;
      codes.set(rowCodes, row * size);
    }
  }
  return { codes, scales };
}

/** Up to 6 % larger, which costs half a dB of all other errors; never smaller, so that nothing is clipped. */
const FACTORS = Array.from({ length: 13 }, (_, n) => 1 + n / 200);

/** e' C e for e = w - scale · code and symmetric C. */
function costOf(
  weights: Float32Array,
  codes: Int8Array,
  scale: number,
  covariance: Float64Array,
): number {
  const size = weights.length;
  let cost = 0;
  for (let i = 0; i < size; i += 1) {
    const error = weights[i]! - scale * codes[i]!; // all are [K], the covariance [K, K]
    errors[i] = error;
    let sum = (covariance[i * size + i]! * error) / 2;
    for (let j = 0; j < i; j += 1) sum += covariance[i * size + j]! * errors[j]!;
    cost += 2 * error * sum;
  }
  return cost;
}

const errors = new Float64Array(LARGEST_SEARCHED);
