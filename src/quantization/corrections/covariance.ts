import { InternalError } from '../../diagnostics/errors.ts';
import { createGramMatrices } from './matrix-product.ts';

/** Rows [first, first + count · size) of samples [inputs, P], uint8: `count` blocks of `size`. */
export interface SampleBlocks {
  readonly samples: Uint8Array;
  readonly sampleCount: number;
  readonly first: number;
  readonly size: number;
  readonly count: number;
}

/**
 * For each block the mean of (x - centre)(x - centre)' over the samples, [count, size, size]; the
 * centre is the samples' mean, or `centre` where it is given. Exact up to the last division: sums are
 * integers, so the result is the same on every machine.
 */
export async function covariancesOf(blocks: SampleBlocks, centre?: number): Promise<Float64Array> {
  const { samples, sampleCount, first, size, count } = blocks;
  if (sampleCount > MAX_SAMPLE_COUNT)
    throw new InternalError(`${sampleCount} samples are too many`);
  // A copy, since onnxruntime-node takes no shared memory.
  const data = samples.slice(first * sampleCount, (first + count * size) * sampleCount);
  const products = await gramMatrices({ data, dims: [count, size, sampleCount] });
  const means = rowMeans(data, sampleCount);
  const result = new Float64Array(products.length);
  for (let row = 0; row < count * size; row += 1) {
    const a = means[row]!; // one a row; products and the result are [count · size, size]
    const firstColumn = row - (row % size);
    for (let j = 0; j < size; j += 1) {
      const product = products[row * size + j]! / sampleCount;
      const b = means[firstColumn + j]!;
      // Σ (x - c)(y - c) / P = Σ xy / P - c (x̄ + ȳ) + c²; with the means as centres xy - x̄ȳ.
      result[row * size + j] =
        centre === undefined ? product - a * b : product - centre * (a + b) + centre * centre;
    }
  }
  return result;
}

const gramMatrices = createGramMatrices();

/** Of a matrix [rows, columns]. */
function rowMeans(data: Uint8Array, columnCount: number): Float64Array {
  const means = new Float64Array(data.length / columnCount);
  for (let row = 0; row < means.length; row += 1) {
    let sum = 0;
    const end = (row + 1) * columnCount; // inside the data
    for (let i = row * columnCount; i < end; i += 1) sum += data[i]!;
    means[row] = sum / columnCount;
  }
  return means;
}

/** 255² · 33,025 still fits int32. */
export const MAX_SAMPLE_COUNT = 33_025;
