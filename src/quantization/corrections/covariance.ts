import { InternalError } from '../../diagnostics/errors.ts';
import { createGramMatrix } from './matrix-product.ts';

/** Rows [first, first + size) of samples [inputs, P], uint8. */
export interface SampleBlock {
  readonly samples: Uint8Array;
  readonly sampleCount: number;
  readonly first: number;
  readonly size: number;
}

/**
 * The mean of (x - centre)(x - centre)' over the samples, [size, size]; the centre is the samples'
 * mean, or `centre` where it is given. Exact up to the last division: sums are integers, so the
 * result is the same on every machine.
 */
export async function covarianceOf(block: SampleBlock, centre?: number): Promise<Float64Array> {
  const { samples, sampleCount, first, size } = block;
  const means = new Float64Array(size);
  for (let k = 0; k < size; k += 1) {
    const row = (first + k) * sampleCount;
    let sum = 0;
    for (let p = 0; p < sampleCount; p += 1) sum += samples[row + p]!; // inside [inputs, P]
    means[k] = sum / sampleCount;
  }
  const products = size <= SMALL_SIZE ? productsOf(block) : await productsByOnnxruntime(block);
  const result = new Float64Array(size * size);
  for (let i = 0; i < size; i += 1) {
    const a = means[i]!; // one of `size`
    for (let j = 0; j < size; j += 1) {
      const product = products[i * size + j]! / sampleCount; // products is [size, size]
      const b = means[j]!;
      // Σ (x - c)(y - c) / P = Σ xy / P - c (x̄ + ȳ) + c²; with the means as centres xy - x̄ȳ.
      result[i * size + j] =
        centre === undefined ? product - a * b : product - centre * (a + b) + centre * centre;
    }
  }
  return result;
}

/** Up to this size a plain loop takes less time than the call. */
const SMALL_SIZE = 32;

function productsOf({ samples, sampleCount, first, size }: SampleBlock): Float64Array {
  const products = new Float64Array(size * size);
  for (let i = 0; i < size; i += 1) {
    const a = (first + i) * sampleCount;
    for (let j = 0; j <= i; j += 1) {
      const b = (first + j) * sampleCount;
      let sum = 0;
      // Both rows lie inside [inputs, P].
      for (let p = 0; p < sampleCount; p += 1) sum += samples[a + p]! * samples[b + p]!;
      products[i * size + j] = sum;
      products[j * size + i] = sum;
    }
  }
  return products;
}

const gramMatrix = createGramMatrix();

async function productsByOnnxruntime(block: SampleBlock): Promise<ArrayLike<number>> {
  const { samples, sampleCount, first, size } = block;
  if (sampleCount > MAX_SAMPLE_COUNT)
    throw new InternalError(`${sampleCount} samples are too many`);
  // A copy, since onnxruntime-node takes no shared memory.
  const data = samples.slice(first * sampleCount, (first + size) * sampleCount);
  return gramMatrix({ data, dims: [size, sampleCount] });
}

/** 255² · 33,025 still fits int32. */
export const MAX_SAMPLE_COUNT = 33_025;
