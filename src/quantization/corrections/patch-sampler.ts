import { integerOf, integersOf, stringOf } from '../../onnx/attributes.ts';
import type { OnnxNode } from '../../onnx/model.ts';
import { roundHalfToEven, saturate } from '../../numeric/rounding.ts';
import { UINT8_MAX, type ActivationParameters } from '../parameters.ts';

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
 * `count` patches of one image as uint8 codes, [count, C · kH · kW], in the order of the weights of
 * one output channel (all groups after one another). Positions are evenly spaced over the output
 * with an offset in [0, 1); small outputs repeat. Padding has the code of zero.
 */
export function samplePatches(
  input: { readonly data: Float32Array; readonly dims: readonly number[] },
  image: number,
  geometry: PatchGeometry,
  parameters: ActivationParameters,
  { count, offset }: { readonly count: number; readonly offset: number },
): Uint8Array {
  const [, channels = 1, height = 1, width = 1] = input.dims; // [N, C, H, W] or [N, C]
  const { kernel, strides, dilations } = geometry;
  const vertical = outputSpan(height, 0, geometry);
  const horizontal = outputSpan(width, 1, geometry);
  const positionCount = vertical.length * horizontal.length;
  const area = height * width;
  const first = image * channels * area;
  const patches = new Uint8Array(count * channels * kernel[0] * kernel[1]);
  let at = 0;
  for (let i = 0; i < count; i += 1) {
    const position = Math.floor(((i + offset) * positionCount) / count) % positionCount;
    const top = Math.floor(position / horizontal.length) * strides[0] - vertical.before;
    const left = (position % horizontal.length) * strides[1] - horizontal.before;
    for (let c = 0; c < channels; c += 1) {
      const plane = first + c * area;
      for (let ky = 0; ky < kernel[0]; ky += 1) {
        const y = top + ky * dilations[0];
        for (let kx = 0; kx < kernel[1]; kx += 1) {
          const x = left + kx * dilations[1];
          const isInside = y >= 0 && y < height && x >= 0 && x < width;
          const value = isInside ? input.data[plane + y * width + x]! : 0; // inside [N, C, H, W]
          const code = roundHalfToEven(value / parameters.scale) + parameters.zeroPoint;
          patches[at] = saturate(code, 0, UINT8_MAX);
          at += 1;
        }
      }
    }
  }
  return patches;
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
