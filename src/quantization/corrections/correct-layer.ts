import { createMatrixProduct } from './matrix-product.ts';
import { robustMean } from './robust-mean.ts';
import { roundLayer, type RoundedLayer, type RoundLayer } from './round-layer.ts';

/** One layer; plain data, for worker threads. */
export interface LayerToCorrect {
  /** [M, K]: one row an output channel. */
  readonly rows: Float32Array;
  /** One a row. */
  readonly scales: Float32Array;
  /** Rows fall into this many equal groups; group g reads inputs [g · K, (g + 1) · K). */
  readonly groupCount: number;
  /** Codes [M, K], or what to find them from. */
  readonly codes:
    | Int8Array
    | Pick<
        RoundLayer,
        'areScalesFree' | 'limit' | 'meeting' | 'samples' | 'sampleCount' | 'zeroPoint'
      >;
  /** [images, 2, groups · K]: the mean input, then what rounding the input adds to it; null: the bias stays. */
  readonly means: Float32Array | null;
}

export interface CorrectedLayer extends RoundedLayer {
  /** [M]: what to add to the bias; null where it stays. */
  readonly correction: Float64Array | null;
}

/**
 * Rounds the weights of a layer, unless they are given, and finds its bias correction: by output
 * channel the float output less the output with quantized weights and quantized input, the input being
 * the float network's own, averaged over the image and, robustly (see `robustMean`), over the
 * images. A layer corrects its own error only, so nothing is counted twice (a local form of Nagel et
 * al. 2019, section 4.2). The layer being linear, the means of its inputs tell as much as its outputs.
 */
export async function correctLayer(layer: LayerToCorrect): Promise<CorrectedLayer> {
  const { codes, scales } = layer;
  const rounded =
    codes instanceof Int8Array ? { codes, scales } : await roundLayer({ ...layer, ...codes });
  if (layer.means === null) return { ...rounded, correction: null };
  const errors = await meanErrors(layer, rounded, layer.means);
  return { ...rounded, correction: robustMean(errors, scales.length) };
}

/**
 * W x - Q (x + d) = (W - Q) x - Q d for weights W, their quantized form Q, the mean input x and what
 * rounding it adds d: [images, M].
 */
async function meanErrors(
  { rows, groupCount }: LayerToCorrect,
  { codes, scales }: RoundedLayer,
  means: Float32Array,
): Promise<Float32Array> {
  const rowCount = scales.length;
  const size = rows.length / rowCount;
  const width = groupCount * size;
  const imageCount = means.length / 2 / width;
  const weights = new Float32Array(2 * rows.length); // [M, 2, K]
  for (let m = 0; m < rowCount; m += 1) {
    for (let k = 0; k < size; k += 1) {
      const quantized = codes[m * size + k]! * scales[m]!; // inside [M, K] and [M]
      weights[2 * m * size + k] = rows[m * size + k]! - quantized;
      weights[(2 * m + 1) * size + k] = -quantized;
    }
  }
  if (groupCount === 1) {
    // A copy, since onnxruntime-node takes no shared memory.
    const inputs = { data: means.slice(), dims: [imageCount, 2 * size] };
    return productWithTransposed(inputs, { data: weights, dims: [rowCount, 2 * size] });
  }
  const errors = new Float32Array(imageCount * rowCount);
  const groupRows = rowCount / groupCount;
  for (let n = 0; n < imageCount; n += 1) {
    for (let m = 0; m < rowCount; m += 1) {
      const first = 2 * n * width + Math.floor(m / groupRows) * size;
      let sum = 0;
      // first + width + k lies inside [images, 2, width].
      for (let k = 0; k < size; k += 1) {
        sum += weights[2 * m * size + k]! * means[first + k]!;
        sum += weights[(2 * m + 1) * size + k]! * means[first + width + k]!;
      }
      errors[n * rowCount + m] = sum;
    }
  }
  return errors;
}

const productWithTransposed = createMatrixProduct({ isTransposed: true });
