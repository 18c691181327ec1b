import { integerOf } from '../../onnx/attributes.ts';
import type { OnnxNode } from '../../onnx/model.ts';

/** Where the channels of a weight tensor stand: flat index i belongs to ⌊i / inner⌋ mod count. */
export interface ChannelLayout {
  readonly inner: number;
  readonly count: number;
}

/** Output channels of weights [M, …], or [K, N] of a Gemm without transB. */
export function outputLayout(node: OnnxNode, dims: readonly number[]): ChannelLayout {
  const isFirstAxis = node.opType === 'Conv' || integerOf(node, 'transB', 0) === 1;
  return isFirstAxis
    ? { inner: innerSize(dims), count: dims[0] ?? 1 }
    : { inner: 1, count: dims[1] ?? 1 };
}

/** Input channels of weights [M, C, kH, kW], depthwise [C · multiplier, 1, kH, kW], [N, K] or [K, N]. */
export function inputLayout(node: OnnxNode, dims: readonly number[]): ChannelLayout {
  const [first = 1, second = 1, height = 1, width = 1] = dims;
  if (node.opType === 'Gemm') {
    return integerOf(node, 'transB', 0) === 1
      ? { inner: 1, count: second }
      : { inner: innerSize(dims), count: first };
  }
  const group = integerOf(node, 'group', 1);
  if (group === 1) return { inner: height * width, count: second };
  // Depthwise: output channel m reads channel m / multiplier.
  return { inner: innerSize(dims) * (first / group), count: group };
}

export function channelAt({ inner, count }: ChannelLayout, i: number): number {
  return Math.floor(i / inner) % count;
}

function innerSize(dims: readonly number[]): number {
  return dims.slice(1).reduce((product, dim) => product * dim, 1);
}
