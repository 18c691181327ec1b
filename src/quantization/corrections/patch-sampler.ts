import { integerOf, integersOf, stringOf } from '../../onnx/attributes.ts';
import type { OnnxNode } from '../../onnx/model.ts';
import type { ActivationParameters } from '../parameters.ts';

/** What a layer reads at one output position; plain data, for worker threads. */
export interface PatchGeometry {
  /** [height, width]; [1, 1] for Gemm. */
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly dilations: readonly [number, number];
  readonly padding: 'same-upper' | 'same-lower' | readonly [number, number, number, number];
}

/** Of a Conv over two dimensions, or a Gemm. `weightDims` are [M, C/group, kH, kW] for a Conv. */
export function patchGeometry(node: OnnxNode, weightDims: readonly number[]): PatchGeometry {
  if (node.opType !== 'Conv') {
    return { kernel: [1, 1], strides: [1, 1], dilations: [1, 1], padding: [0, 0, 0, 0] };
  }
  const [strideY = 1, strideX = 1] = integersOf(node, 'strides') ?? [];
  const [dilationY = 1, dilationX = 1] = integersOf(node, 'dilations') ?? [];
  const [top = 0, left = 0, bottom = 0, right = 0] = integersOf(node, 'pads') ?? [];
  const automatic = stringOf(node, 'auto_pad', 'NOTSET');
  return {
    kernel: [weightDims[2] ?? 1, weightDims[3] ?? 1],
    strides: [strideY, strideX],
    dilations: [dilationY, dilationX],
    padding:
      automatic === 'SAME_UPPER'
        ? 'same-upper'
        : automatic === 'SAME_LOWER'
          ? 'same-lower'
          : [top, left, bottom, right],
  };
}

export function groupCountOf(node: OnnxNode): number {
  return node.opType === 'Conv' ? integerOf(node, 'group', 1) : 1;
}

/**
 * Places in a plane [H, W] that a layer reads for `count` of its outputs, [kH · kW, count]; -1 is
 * padding. Positions are evenly spaced over the output with an offset in [0, 1); small outputs repeat.
 */
export function patchPlaces(
  [height, width]: readonly [number, number],
  geometry: PatchGeometry,
  { count, offset }: { readonly count: number; readonly offset: number },
): Int32Array {
  const { kernel, strides, dilations } = geometry;
  const vertical = outputSpan(height, 0, geometry);
  const horizontal = outputSpan(width, 1, geometry);
  const positionCount = vertical.length * horizontal.length;
  const places = new Int32Array(count * kernel[0] * kernel[1]);
  for (let i = 0; i < count; i += 1) {
    const position = Math.floor(((i + offset) * positionCount) / count) % positionCount;
    const top = Math.floor(position / horizontal.length) * strides[0] - vertical.before;
    const left = (position % horizontal.length) * strides[1] - horizontal.before;
    for (let ky = 0; ky < kernel[0]; ky += 1) {
      const y = top + ky * dilations[0];
      for (let kx = 0; kx < kernel[1]; kx += 1) {
        const x = left + kx * dilations[1];
        const isInside = y >= 0 && y < height && x >= 0 && x < width;
        places[(ky * kernel[1] + kx) * count + i] = isInside ? y * width + x : -1;
      }
    }
  }
  return places;
}

export interface Patches {
  /**
   * uint8 [C · area, patches]: a row an input, in the order of the weights of one output channel (all
   * groups after one another).
   */
  readonly codes: Uint8Array;
  /** [2, C · area]: the mean over the patches of the input, then of what rounding adds to it. */
  readonly means: Float32Array;
}

/**
 * Fills columns [first, first + count) of `codes`, which has `patchCount`, and `means` from as many
 * patches of a layer's input; `values` [C, area · count] are those at `places` [area, count]. Padding
 * has the code of zero and no error.
 */
export function quantizePatches(
  values: Float32Array,
  places: Int32Array,
  { scale, zeroPoint }: ActivationParameters,
  { codes, means }: Patches,
  { first, count, patchCount }: Readonly<Record<'first' | 'count' | 'patchCount', number>>,
): void {
  const area = places.length / count;
  const width = values.length / count; // C · area
  // Stores round to even and saturate by themselves.
  const rounded = new Uint8ClampedArray(codes.buffer, codes.byteOffset, codes.length);
  const factor = 1 / scale;
  for (let k = 0; k < width; k += 1) {
    const place = (k % area) * count;
    const from = k * count;
    const to = k * patchCount + first;
    let sum = 0;
    let codeSum = 0;
    // Every index lies inside [area, count], [C · area, count] and [C · area, patchCount].
    for (let i = 0; i < count; i += 1) {
      const value = places[place + i]! < 0 ? 0 : values[from + i]!;
      rounded[to + i] = value * factor + zeroPoint;
      codeSum += rounded[to + i]! - zeroPoint;
      sum += value;
    }
    means[k] = sum / count;
    means[width + k] = (codeSum * scale - sum) / count;
  }
}

/** Output positions along one axis and the padding before the first (ONNX Conv, opset 11). */
function outputSpan(
  size: number,
  axis: 0 | 1,
  { kernel, strides, dilations, padding }: PatchGeometry,
): { readonly length: number; readonly before: number } {
  const reach = (kernel[axis] - 1) * dilations[axis] + 1;
  const stride = strides[axis];
  if (typeof padding === 'string') {
    const length = Math.ceil(size / stride);
    const total = Math.max((length - 1) * stride + reach - size, 0);
    return { length, before: padding === 'same-upper' ? total >> 1 : (total + 1) >> 1 };
  }
  const [before, after] = axis === 0 ? [padding[0], padding[2]] : [padding[1], padding[3]];
  return { length: Math.floor((size + before + after - reach) / stride) + 1, before };
}
