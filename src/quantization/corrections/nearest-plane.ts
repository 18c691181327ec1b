import { roundWithin } from '../../numeric/rounding.ts';
import { highestBeside, lowestBeside, type CodeBounds } from '../code-bounds.ts';
import { createMatrixProduct } from './matrix-product.ts';

export interface NearestPlaneInput extends CodeBounds {
  /** [M, K] */
  readonly weights: Float32Array;
  /** One a row. */
  readonly scales: Float32Array;
  /** Symmetric [K, K]: what an error costs, e' · covariance · e for the error e of a row. */
  readonly covariance: Float64Array;
}

/**
 * Codes [M, K] such that the rows' errors e = w - scale · code have a small e' C e: codes are chosen
 * one after another, each making up for the errors of those before it. This is Babai's nearest plane,
 * which GPTQ (Frantar et al. 2022, algorithm 1) computes too; inputs of large variance come first
 * ("act-order" there). Weights that lie on the grid of their scale keep their codes exactly. Of two
 * that meet (see `CodeBounds`) the second is limited by the first.
 *
 * Inputs are worked on in strips: what the errors of all strips before cost is one matrix product by
 * onnxruntime, as in GPTQ's "lazy batch updates".
 */
export async function roundToNearestPlane(input: NearestPlaneInput): Promise<Int8Array> {
  const { scales, weights } = input;
  const rowCount = scales.length;
  const size = weights.length / rowCount;
  const order = ascendingVariance(input.covariance, size);
  const factor = unitUpperFactor(permuted(input.covariance, order));
  const state = {
    ...{ ...input, size, order, factor },
    codes: new Int8Array(weights.length),
    errors: new Float32Array(weights.length),
  };
  for (let end = size; end > 0; end -= STRIP_SIZE) {
    const start = Math.max(0, end - STRIP_SIZE);
    roundStrip(state, { start, end, sums: await sumsOfErrors(state, start, end) });
  }
  return state.codes;
}

interface RoundingState extends NearestPlaneInput {
  /** K */
  readonly size: number;
  /** Indices of the inputs, the last of which is decided first. */
  readonly order: readonly number[];
  /** [K, K] in `order`, see `unitUpperFactor`. */
  readonly factor: Float64Array;
  /** [M, K] */
  readonly codes: Int8Array;
  /** [K, M] in `order`, of what is decided. */
  readonly errors: Float32Array;
}

/** Inputs [start, end) in `order`, and for each what the errors behind `end` ask of it, [strip, M]. */
interface Strip {
  readonly start: number;
  readonly end: number;
  readonly sums: Float32Array;
}

const STRIP_SIZE = 32;

/** Σ over j >= end of factor[k, j] · errors[j, row] for k in [start, end): [end - start, M]. */
async function sumsOfErrors(
  { factor, errors, size, scales }: RoundingState,
  start: number,
  end: number,
): Promise<Float32Array> {
  const rowCount = scales.length;
  const behind = size - end;
  if (behind === 0) return new Float32Array((end - start) * rowCount);
  const factors = new Float32Array((end - start) * behind);
  for (let k = start; k < end; k += 1) {
    factors.set(factor.subarray(k * size + end, (k + 1) * size), (k - start) * behind);
  }
  return matrixProduct(
    { data: factors, dims: [end - start, behind] },
    { data: errors.subarray(end * rowCount), dims: [behind, rowCount] },
  );
}

const matrixProduct = createMatrixProduct({ isTransposed: false });

/** Decides the codes of the strip for all rows and writes down their errors. */
function roundStrip(state: RoundingState, { start, end, sums }: Strip): void {
  const { weights, scales, limit, meeting, size, order, factor, codes, errors } = state;
  const rowCount = scales.length;
  const laneErrors = new Float64Array(STRIP_SIZE * LANES); // [strip, LANES]
  const laneSums = new Float64Array(LANES);
  for (let firstRow = 0; firstRow < rowCount; firstRow += LANES) {
    const laneCount = Math.min(LANES, rowCount - firstRow);
    for (let k = end - 1; k >= start; k -= 1) {
      addErrors(laneSums, { factor, errors: laneErrors, size, k, start, end });
      const column = order[k]!; // k < K
      const other = meeting?.[column] ?? -1;
      for (let lane = 0; lane < laneCount; lane += 1) {
        const row = firstRow + lane; // below M
        const at = row * size + column;
        const weight = weights[at]!;
        const scale = scales[row]!;
        const target = (weight + laneSums[lane]! + sums[(k - start) * rowCount + row]!) / scale;
        const met = other < 0 ? 0 : codes[row * size + other]!; // 0 too where it is decided later
        const code = roundWithin(target, lowestBeside(met, limit), highestBeside(met, limit));
        const error = weight - code * scale;
        codes[at] = code;
        errors[k * rowCount + row] = error;
        laneErrors[(k - start) * LANES + lane] = error;
      }
    }
  }
}

/** Rows worked on together, so that each value of the factor is read once for all of them. */
const LANES = 4;

interface StripErrors {
  readonly factor: Float64Array;
  /** [strip, LANES] */
  readonly errors: Float64Array;
  readonly size: number;
  readonly k: number;
  readonly start: number;
  readonly end: number;
}

/** sums[lane] = Σ over j in (k, end) of factor[k, j] · errors[j - start, lane]. */
function addErrors(sums: Float64Array, { factor, errors, size, k, start, end }: StripErrors): void {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  const row = k * size;
  for (let j = k + 1; j < end; j += 1) {
    const value = factor[row + j]!; // j < size, and errors is [strip, LANES]
    const at = (j - start) * LANES;
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
  const inverseOf = (k: number): number => {
    const pivot = matrix[k * size + k]!; // k < size
    return pivot > 0 ? 1 / pivot : 0;
  };
  for (let first = 0; first < size; first += PANEL_SIZE) {
    const end = Math.min(first + PANEL_SIZE, size);
    // Every index below is row * size + column with both below size.
    for (let k = first; k < end; k += 1) {
      const inverse = inverseOf(k);
      for (let i = k + 1; i < end; i += 1) {
        const value = matrix[k * size + i]! * inverse;
        for (let j = i; j < size; j += 1) matrix[i * size + j]! -= value * matrix[k * size + j]!;
      }
    }
    // A last panel that is not whole has no rows behind it.
    if (end < size)
      eliminateBehind(
        matrix,
        size,
        first,
        [0, 1, 2, 3].map((n) => inverseOf(first + n)),
      );
    for (let k = first; k < end; k += 1) {
      const inverse = inverseOf(k);
      for (let j = k + 1; j < size; j += 1) matrix[k * size + j]! *= inverse;
    }
  }
  return matrix;
}

/** Rows that are taken from those behind them in one go: each value there is read and written once. */
const PANEL_SIZE = 4;

/** Takes the four rows from `first` on, times their pivots' `inverses`, from all rows behind them. */
function eliminateBehind(
  matrix: Float64Array,
  size: number,
  first: number,
  inverses: readonly number[],
): void {
  const [a, b, c, d] = [0, 1, 2, 3].map((n) => (first + n) * size) as [
    number,
    number,
    number,
    number,
  ];
  const [ia, ib, ic, id] = inverses as [number, number, number, number];
  for (let i = first + PANEL_SIZE; i < size; i += 1) {
    const va = matrix[a + i]! * ia; // rows and columns are below size here too
    const vb = matrix[b + i]! * ib;
    const vc = matrix[c + i]! * ic;
    const vd = matrix[d + i]! * id;
    const target = i * size;
    for (let j = i; j < size; j += 1) {
      const value = matrix[target + j]! - va * matrix[a + j]! - vb * matrix[b + j]!;
      matrix[target + j] = value - vc * matrix[c + j]! - vd * matrix[d + j]!;
    }
  }
}
