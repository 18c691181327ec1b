import { InternalError } from '../diagnostics/errors.ts';
import { normalizePixels, type Normalization } from './image-shards.ts';

/** What a network takes: normalized float32, or the pixels themselves. */
export interface InputForm {
  readonly type: 'float32' | 'uint8';
  readonly layout: 'nchw' | 'nhwc';
}

export const FLOAT_NCHW: InputForm = { type: 'float32', layout: 'nchw' };

/**
 * The form of an input with this element type and shape; channels stand last where only the last
 * dimension is 3.
 */
export function inputFormOf(type: string, shape: readonly (number | string | null)[]): InputForm {
  return {
    type: type === 'uint8' ? 'uint8' : 'float32',
    layout: shape[3] === 3 && shape[1] !== 3 ? 'nhwc' : 'nchw',
  };
}

export interface PackedImages {
  /** uint8 [N, H, W, 3]. */
  readonly pixelsNhwc: Uint8Array;
  readonly imageCount: number;
  readonly height: number;
  readonly width: number;
  readonly normalization: Normalization;
}

export interface NetworkInput {
  readonly data: Float32Array | Uint8Array;
  readonly dims: readonly number[];
}

/** The images in the form a network takes; shares the pixels' memory where they need no change. */
export function toNetworkInput(images: PackedImages, { type, layout }: InputForm): NetworkInput {
  const { pixelsNhwc, imageCount, height, width, normalization } = images;
  const pixelCount = height * width;
  if (pixelsNhwc.length !== imageCount * pixelCount * 3) {
    throw new InternalError(`${pixelsNhwc.length} bytes for ${imageCount} images`);
  }
  const dims = layout === 'nhwc' ? [imageCount, height, width, 3] : [imageCount, 3, height, width];
  if (type === 'float32') {
    const data = new Float32Array(pixelsNhwc.length);
    normalizePixels(pixelsNhwc, imageCount, pixelCount, normalization, data, layout);
    return { data, dims };
  }
  if (layout === 'nhwc') return { data: pixelsNhwc, dims };
  const data = new Uint8Array(pixelsNhwc.length);
  // uint8 [N, H, W, 3] → uint8 [N, 3, H, W]; every index lies inside, as the lengths are equal.
  for (let n = 0; n < imageCount; n += 1) {
    for (let c = 0; c < 3; c += 1) {
      let from = n * pixelCount * 3 + c;
      let to = (n * 3 + c) * pixelCount;
      for (let p = 0; p < pixelCount; p += 1, from += 3, to += 1) data[to] = pixelsNhwc[from]!;
    }
  }
  return { data, dims };
}
