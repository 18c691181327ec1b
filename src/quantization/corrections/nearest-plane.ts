import { roundHalfToEven, saturate } from '../../numeric/rounding.ts';

export interface NearestPlaneInput {
  /** [M, K] */
  readonly weights: Float32Array;
  /** One a row. */
  readonly scales: Float32Array;
  /** Symmetric [K, K]: what an error costs, e' · covariance · e for the error e of a row. */
  readonly covariance: Float64Array;
  /** Largest magnitude of a code. */
  readonly limit: number;
}

/**
 * Codes [M, K] such that the rows' errors e = w - scale · code have a small e' C e: codes are chosen
 * one after another, each making up for the errors of those before it. This is Babai's nearest plane,
 * which GPTQ (Frantar et al. 2022, algorithm 1) computes too; inputs of large variance come first
 * ("act-order" there). Weights that lie on the grid of their scale keep their codes exactly.
 */
export function roundToNearestPlane(input: NearestPlaneInput): Int8Array {
  const { weights, scales, limit } = input;
  const rowCount = scales.length;
  const size = weights.length / rowCount;
  const order = ascendingVariance(input.covariance, size);
  const factor = unitUpperFactor(permuted(input.covariance, order));
  const codes = new Int8Array(weights.length);
  const errors = new Float64Array(size * LANES); // [K, LANES], in `order`
  const sums = new Float64Array(LANES);
  for (let firstRow = 0; firstRow < rowCount; firstRow += LANES) {
    const laneCount = Math.min(LANES, rowCount - firstRow);
    for (let k = size - 1; k >= 0; k -= 1) {
      addErrors(sums, factor, errors, size, k);
      for (let lane = 0; lane < laneCount; lane += 1) {
        const row = firstRow + lane;
        const at = row * size + order[k]!; // row < M, order holds indices below K
        const weight = weights[at]!;
        const scale = scales[row]!;
        const target = (weight + sums[lane]!) / scale;
        const code = saturate(roundHalfToEven(target), -limit, limit);
        codes[at] = code;
        errors[k * LANES + lane] = weight - code * scale;
      }
    }
  }
  return codes;
}

/** Rows worked on together, so that each value of the factor is read once for all of them. */
const LANES = 4;

/** sums[lane] = Σ over j > k of factor[k, j] · errors[j, lane]. */
function addErrors(
  sums: Float64Array,
  factor: Float64Array,
  errors: Float64Array,
  size: number,
  k: number,
): void {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  const row = k * size;
  for (let j = k + 1; j < size; j += 1) {
    const value = factor[row + j]!; // j < size, and errors is [size, LANES]
    const at = j * LANES;
    a += value * errors[at]!;
    b += value * errors[at + 1]!;
    c += value * errors[at + 2]!;
    d += value * errors[at + 3]!;
  }
  sums[0] = a;
  sums[1] = b;
  sums[2] = c;
  sums[3] = d;
}

/** Indices by growing diagonal; equal ones keep their order. */
function ascendingVariance(covariance: Float64Array, size: number): number[] {
  const variance = (k: number): number => covariance[k * size + k]!; // k < size
  return Array.from({ length: size }, (_, k) => k).sort((a, b) => variance(a) - variance(b));
}

function permuted(matrix: Float64Array, order: readonly number[]): Float64Array {
  const size = order.length;
  const result = new Float64Array(size * size);
  for (let i = 0; i < size; i += 1) {
    const row = order[i]! * size; // both indices are below size
    for (let j = 0; j < size; j += 1) result[i * size + j] = matrix[row + order[j]!]!;
  }
  return result;
}

/**
 * Upper unit triangular V with matrix = V' D V, in place of `matrix` (the part below the diagonal is
 * left as it was). The matrix must be positive definite; a pivot lost to rounding counts as no
 * connection.
 */
function unitUpperFactor(matrix: Float64Array): Float64Array {
  const size = Math.sqrt(matrix.length);
  // Every index below is row * size + column with both below size.
  for (let k = 0; k < size; k += 1) {
    const row = k * size;
    const pivot = matrix[row + k]!;
    const inverse = pivot > 0 ? 1 / pivot : 0;
    for (let i = k + 1; i < size; i += 1) {
      const value = matrix[row + i]! * inverse;
      if (value === 0) continue;
      const target = i * size;
      for (let j = i; j < size; j += 1) matrix[target + j]! -= value * matrix[row + j]!;
    }
    for (let j = k + 1; j < size; j += 1) matrix[row + j]! *= inverse;
  }
  return matrix;
}
