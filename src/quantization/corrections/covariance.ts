import { TensorProto_DataType as DataType } from '../../onnx/generated/onnx_pb.ts';
import { InternalError } from '../../diagnostics/errors.ts';
import { createMatrixProduct } from './matrix-product.ts';

/** Columns [first, first + size) of samples [P, width], uint8. */
export interface SampleBlock {
  readonly samples: Uint8Array;
  readonly sampleCount: number;
  readonly width: number;
  readonly first: number;
  readonly size: number;
}

/**
 * The mean of (x - centre)(x - centre)' over the samples, [size, size]; the centre is the samples'
 * mean, or `centre` where it is given. Exact up to the last division: sums are integers, so the
 * result is the same on every machine.
 */
export async function covarianceOf(block: SampleBlock, centre?: number): Promise<Float64Array> {
  const { samples, sampleCount, width, first, size } = block;
  const sums = new Float64Array(size);
  for (let p = 0; p < sampleCount; p += 1) {
    const row = p * width + first; // row + k lies inside [P, width]
    for (let k = 0; k < size; k += 1) sums[k]! += samples[row + k]!;
  }
  const products = size <= SMALL_SIZE ? productsOf(block) : await productsByOnnxruntime(block);
  const result = new Float64Array(size * size);
  for (let i = 0; i < size; i += 1) {
    for (let j = 0; j < size; j += 1) {
      const product = products[i * size + j]! / sampleCount; // products is [size, size]
      const a = sums[i]! / sampleCount;
      const b = sums[j]! / sampleCount;
      // Σ (x - c)(y - c) / P = Σ xy / P - c (x̄ + ȳ) + c²; with the means as centres xy - x̄ȳ.
      result[i * size + j] =
        centre === undefined ? product - a * b : product - centre * (a + b) + centre * centre;
    }
  }
  return result;
}

/** Up to this size a plain loop takes less time than the call. */
const SMALL_SIZE = 32;

function productsOf({ samples, sampleCount, width, first, size }: SampleBlock): Float64Array {
  const products = new Float64Array(size * size);
  for (let p = 0; p < sampleCount; p += 1) {
    const row = p * width + first; // row + k lies inside [P, width]
    for (let i = 0; i < size; i += 1) {
      const value = samples[row + i]!;
      if (value === 0) continue;
      for (let j = 0; j <= i; j += 1) products[i * size + j]! += value * samples[row + j]!;
    }
  }
  for (let i = 0; i < size; i += 1) {
    for (let j = 0; j < i; j += 1) products[j * size + i] = products[i * size + j]!;
  }
  return products;
}

const productOfCodes = createMatrixProduct({
  ...{ opType: 'MatMulInteger', memory: 'arena' },
  ...{ inputType: DataType.UINT8, outputType: DataType.INT32 },
});

/** Σ x x' by MatMulInteger of uint8 with uint8: int32 sums that no CPU saturates. */
async function productsByOnnxruntime(block: SampleBlock): Promise<ArrayLike<number>> {
  const { samples, sampleCount, width, first, size } = block;
  if (sampleCount > MAX_SAMPLE_COUNT)
    throw new InternalError(`${sampleCount} samples are too many`);
  const rows = new Uint8Array(sampleCount * size); // [P, size]
  const columns = new Uint8Array(sampleCount * size); // [size, P]
  for (let p = 0; p < sampleCount; p += 1) {
    for (let k = 0; k < size; k += 1) {
      const value = samples[p * width + first + k]!; // inside [P, width]
      rows[p * size + k] = value;
      columns[k * sampleCount + p] = value;
    }
  }
  const products = await productOfCodes(
    { data: columns, dims: [size, sampleCount] },
    { data: rows, dims: [sampleCount, size] },
  );
  return products as Int32Array; // MatMulInteger gives int32
}

/** 255² · 33,025 still fits int32. */
export const MAX_SAMPLE_COUNT = 33_025;
