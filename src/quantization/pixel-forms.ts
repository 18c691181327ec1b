import type { Normalization } from '../data/image-shards.ts';
import { UINT8_MAX } from './parameters.ts';
import { blockedAxis, blockWeights, type BlockedAxis } from './pixel-blocks.ts';

/** The first convolution as it reads normalized values. */
export interface NormalizedWindow {
  /** float32 [M, 3, kH, kW] */
  readonly values: Float32Array;
  readonly dims: readonly number[];
  /** [M]; null: none. */
  readonly bias: Float32Array | 'computed' | null;
  /** Zeros around the image, above, left, below and right; null where the operator works them out. */
  readonly pads: readonly number[] | null;
  readonly isPlainStride2: boolean;
  /** Height and width of the image; null where they are open. */
  readonly imageSize: readonly [number, number] | null;
}

/** The same convolution over pixels, and what makes pixels of the normalized image. */
export interface PixelForm {
  /** A convolution over the normalized image. */
  readonly toPixels: {
    readonly dims: readonly number[];
    readonly weights: Float32Array;
    readonly offsets: Float32Array;
    readonly attributes: Readonly<Record<string, readonly number[]>>;
  };
  readonly dims: readonly number[];
  readonly weights: Float32Array;
  /** Of the convolution, in place of its own; null: as it is. */
  readonly bias: Float32Array | null;
  /** Of the convolution, in place of its own. */
  readonly attributes: Readonly<Record<string, readonly number[]>>;
  /** Value of the constant fourth channel, as a code; null where there are three channels. */
  readonly constantCode: number | null;
  /** Zeros put around the normalized image, above, left, below and right; null: none. */
  readonly pads: readonly number[] | null;
  /** Whether the channels are those of blocks of 2 x 2 pixels (SpaceToDepth). */
  readonly isBlocked: boolean;
}

/** What pixels are to the convolution. */
export interface PixelScale {
  /** Of the image. */
  readonly normalization: Normalization;
  /** Of what the convolution reads, a normalization inside the model included. */
  readonly read: Normalization;
  /** The code of zero. */
  readonly middle: number;
}

export function pixelScaleOf(normalization: Normalization, read: Normalization): PixelScale {
  const average = read.mean.reduce((sum, value) => sum + 255 * value, 0) / read.mean.length;
  return {
    ...{ normalization, read },
    middle: Math.min(Math.max(Math.round(average), 0), UINT8_MAX),
  };
}

/** What a bias could carry only where no padding is comes from a constant fourth channel. */
export function fourChannelForm({ values, dims }: NormalizedWindow, scale: PixelScale): PixelForm {
  const { middle } = scale;
  const remainders = remaindersOf(scale);
  // Large enough that the fourth channel's weights need no larger scale than the others.
  const wanted = Math.max(1, Math.ceil(remainders.reduce((sum, r) => sum + Math.abs(r), 0)));
  const size = Math.min(wanted, Math.max(middle, UINT8_MAX - middle));
  const constant = middle + size <= UINT8_MAX ? size : -size;
  const { weights, shifts } = pixelWeights(values, dims, scale);
  const [outputs = 0, , height = 0, width = 0] = dims;
  const area = height * width;
  const all = new Float32Array(outputs * 4 * area);
  for (let m = 0; m < outputs; m += 1) {
    all.set(weights.subarray(m * 3 * area, (m + 1) * 3 * area), m * 4 * area);
    const carried = shifts.subarray(m * area, (m + 1) * area).map((shift) => shift / constant);
    all.set(carried, (m * 4 + 3) * area);
  }
  const { mean, std } = scale.normalization;
  return {
    toPixels: {
      dims: [4, 3, 1, 1],
      weights: diagonalOf(std.map((value) => 255 * value)),
      offsets: Float32Array.from([...mean.map((value) => 255 * value - middle), constant]),
      attributes: {},
    },
    ...{ dims: [outputs, 4, height, width], weights: all, bias: null, attributes: {} },
    ...{ constantCode: middle + constant, pads: null, isBlocked: false },
  };
}

/**
 * The normalized image is padded first and the bias carries the mean: exact but for the padding, which becomes the
 * code nearest to it. A window of stride 2 is taken over blocks of 2 x 2 pixels where the size of the image is known:
 * twelve channels and a quarter of the places are what onnxruntime's kernel is fast with (224 x 224, 64 outputs, AVX2,
 * with what brings the pixels there: 7x7 3.2 ms against 3.6 with three channels and 4.3 with four, 5x5 2.3 against 2.5
 * and 2.8). Null where a normalization inside the model would make padding something else, and where padding is
 * not written out or the bias is computed.
 */
export function threeChannelForm(window: NormalizedWindow, scale: PixelScale): PixelForm | null {
  const { pads, dims, values, bias } = window;
  if (pads === null || bias === 'computed' || scale.read !== scale.normalization) return null;
  const { weights, shifts } = pixelWeights(values, dims, scale);
  const [outputs = 0, channels = 0, height = 0, width = 0] = dims;
  const area = height * width;
  const moved = Float32Array.from({ length: outputs }, (_, m) =>
    shifts.subarray(m * area, (m + 1) * area).reduce((sum, shift) => sum + shift, bias?.[m] ?? 0),
  );
  const [rows, columns] = blocksOf(window) ?? [];
  const isBlocked = rows !== undefined && columns !== undefined;
  const outer = isBlocked
    ? [rows.padBefore, columns.padBefore, rows.padAfter, columns.padAfter]
    : pads;
  const { mean, std } = scale.normalization;
  const offsets = mean.map((value) => 255 * value - scale.middle);
  const factors = std.map((value) => 255 * value);
  const shared = {
    ...{ bias: moved, isBlocked, constantCode: null },
    pads: outer.some((size) => size > 0) ? outer : null,
  };
  if (!isBlocked) {
    return {
      ...{ ...shared, dims, weights, attributes: { pads: [0, 0, 0, 0] } },
      toPixels: {
        dims: [3, 3, 1, 1],
        weights: diagonalOf(factors).subarray(0, 9),
        offsets: Float32Array.from(offsets),
        attributes: { pads: outer },
      },
    };
  }
  const kernel = [rows.kernelSize, columns.kernelSize];
  return {
    ...{ ...shared, dims: [outputs, 4 * channels, ...kernel] },
    weights: blockWeights(weights, dims, rows, columns),
    toPixels: {
      dims: [12, 3, 2, 2],
      weights: blockDiagonalOf(factors),
      offsets: Float32Array.from({ length: 12 }, (_, i) => offsets[i % 3] ?? 0),
      attributes: { pads: outer, strides: [2, 2] },
    },
    attributes: { pads: [0, 0, 0, 0], strides: [1, 1], kernel_shape: kernel },
  };
}

function blocksOf(window: NormalizedWindow): [BlockedAxis, BlockedAxis] | null {
  const { pads, dims, imageSize, isPlainStride2 } = window;
  if (!isPlainStride2 || pads === null || imageSize === null) return null;
  const [top = 0, left = 0, bottom = 0, right = 0] = pads;
  const [, , height = 0, width = 0] = dims;
  const rows = blockedAxis({
    ...{ size: imageSize[0], kernelSize: height, padBefore: top, padAfter: bottom },
  });
  const columns = blockedAxis({
    ...{ size: imageSize[1], kernelSize: width, padBefore: left, padAfter: right },
  });
  return rows === null || columns === null ? null : [rows, columns];
}

/** What is left of the means beside the middle, pixel values. */
function remaindersOf({ read, middle }: PixelScale): number[] {
  return read.mean.map((value) => 255 * value - middle);
}

/** Weights [4, 3, 1, 1] that scale three channels and leave the fourth to the bias. */
export function diagonalOf(factors: readonly number[]): Float32Array {
  return Float32Array.from(
    { length: 4 * 3 },
    (_, i) => (i % 3 === Math.floor(i / 3) ? factors[i % 3]! : 0), // three factors
  );
}

/** Weights [12, 3, 2, 2] that scale three channels and put each pixel of a block into a channel of its own. */
function blockDiagonalOf(factors: readonly number[]): Float32Array {
  const weights = new Float32Array(12 * 3 * 4);
  for (let output = 0; output < 12; output += 1) {
    const [place, channel] = [Math.floor(output / 3), output % 3];
    weights[(output * 3 + channel) * 4 + place] = factors[channel] ?? 0;
  }
  return weights;
}

/**
 * float32 [M, 3, kH, kW] of pixels less the middle, and what the rest of the means subtracts at each place
 * [M, kH · kW].
 */
function pixelWeights(
  values: Float32Array,
  [outputs = 0, , height = 0, width = 0]: readonly number[],
  scale: PixelScale,
): { readonly weights: Float32Array; readonly shifts: Float64Array } {
  const area = height * width;
  const { std } = scale.read;
  const remainders = remaindersOf(scale);
  const shifts = new Float64Array(outputs * area);
  const weights = values.map((value, index) => {
    const channel = Math.floor(index / area) % 3;
    return value / (255 * (std[channel] ?? NaN));
  });
  // Not of the rounded weights: their errors would add up.
  values.forEach((value, index) => {
    const channel = Math.floor(index / area) % 3;
    const place = Math.floor(index / (3 * area)) * area + (index % area);
    const remainder = remainders[channel] ?? NaN;
    shifts[place] = (shifts[place] ?? NaN) - (value * remainder) / (255 * (std[channel] ?? NaN));
  });
  return { weights, shifts };
}
