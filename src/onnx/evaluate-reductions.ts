import { floatOf, integerOf, integersOf } from './attributes.ts';
import { productOf, type ConstantValue } from './constant-value.ts';
import type { OnnxNode } from './model.ts';
import { walkPlaces } from './walk-places.ts';

type Inputs = readonly (ConstantValue | undefined)[];

/** ReduceMean, ReduceSum, ReduceProd, ReduceMax or ReduceMin of a constant, summed in float64. */
export function evaluateReduction(
  node: OnnxNode,
  { type, dims, data }: ConstantValue,
  inputs: Inputs,
): ConstantValue | undefined {
  const reduction = REDUCTIONS[node.opType];
  const axes = reducedAxes(node, dims.length, inputs);
  if (reduction === undefined || axes === undefined) return undefined;
  const kept = dims.map((dim, i) => (axes.has(i) ? 1 : dim));
  const count = productOf(kept);
  const each = data.length / count;
  if (!Number.isInteger(each) || each === 0) return undefined;
  const sums = new Float64Array(count).fill(reduction.start);
  const steps = kept.map((dim, i) => (dim === 1 ? 0 : productOf(kept.slice(i + 1))));
  const nextPlace = walkPlaces(dims, steps);
  for (const value of data) {
    const place = nextPlace();
    sums[place] = reduction.join(sums[place]!, value); // a place of the result
  }
  if (node.opType === 'ReduceMean') for (let i = 0; i < count; i += 1) sums[i]! /= each;
  const isKept = integerOf(node, 'keepdims', 1) !== 0;
  return {
    type,
    dims: isKept ? kept : dims.filter((_, i) => !axes.has(i)),
    data: type === 'float' ? Float32Array.from(sums) : sums.map(Math.trunc),
  };
}

const REDUCTIONS: Readonly<
  Record<string, { readonly start: number; readonly join: (a: number, b: number) => number }>
> = {
  ReduceMean: { start: 0, join: (a, b) => a + b },
  ReduceSum: { start: 0, join: (a, b) => a + b },
  ReduceProd: { start: 1, join: (a, b) => a * b },
  ReduceMax: { start: -Infinity, join: Math.max },
  ReduceMin: { start: Infinity, join: Math.min },
};

/** An attribute or, in later opsets, an input; none means all, unless the node says that it means none. */
export function reducedAxes(
  node: OnnxNode,
  rank: number,
  inputs: Inputs,
): ReadonlySet<number> | undefined {
  const input = node.input[1] ?? '';
  if (input !== '' && inputs[1] === undefined) return undefined;
  const given = inputs[1] === undefined ? integersOf(node, 'axes') : [...inputs[1].data];
  const meansNone = integerOf(node, 'noop_with_empty_axes', 0) !== 0;
  const all = Array.from({ length: meansNone ? 0 : rank }, (_, i) => i);
  const axes = given === undefined || given.length === 0 ? all : given;
  return new Set(axes.map((axis) => (axis < 0 ? axis + rank : axis)));
}

/**
 * BatchNormalization of a constant [N, C, …], as networks write that standardize their weights: in
 * training mode by the mean and variance of each channel of the constant itself.
 */
export function evaluateBatchNorm(
  node: OnnxNode,
  { type, dims, data }: ConstantValue,
  [, scale, bias, givenMean, givenVariance]: Inputs,
): ConstantValue | undefined {
  const channelCount = dims[1] ?? NaN;
  const hasAll = [scale, bias].every((value) => value?.data.length === channelCount);
  if (type !== 'float' || !hasAll || data.length === 0) return undefined;
  const inner = productOf(dims.slice(2));
  const statistics =
    integerOf(node, 'training_mode', 0) === 0
      ? { mean: givenMean?.data, variance: givenVariance?.data }
      : channelStatistics(data, channelCount, inner);
  const { mean, variance } = statistics;
  if (mean?.length !== channelCount || variance?.length !== channelCount) return undefined;
  const epsilon = floatOf(node, 'epsilon', 1e-5);
  const normalized = new Float32Array(data.length);
  const nextChannel = channelWalk(data.length, channelCount, inner);
  for (let i = 0; i < data.length; i += 1) {
    const c = nextChannel(); // all four have one value a channel
    const deviation = Math.sqrt(variance[c]! + epsilon);
    normalized[i] = ((data[i]! - mean[c]!) / deviation) * scale!.data[c]! + bias!.data[c]!;
  }
  return { type, dims, data: normalized };
}

/** Mean and population variance of each channel of [N, C, inner]. */
function channelStatistics(
  data: ConstantValue['data'],
  channelCount: number,
  inner: number,
): { readonly mean: Float64Array; readonly variance: Float64Array } {
  const each = data.length / channelCount;
  const mean = new Float64Array(channelCount);
  const variance = new Float64Array(channelCount);
  // The channel lies inside both.
  let nextChannel = channelWalk(data.length, channelCount, inner);
  for (const value of data) mean[nextChannel()]! += value / each;
  nextChannel = channelWalk(data.length, channelCount, inner);
  for (const value of data) {
    const c = nextChannel();
    variance[c]! += (value - mean[c]!) ** 2 / each;
  }
  return { mean, variance };
}

/** The channel of each element of [N, C, inner] in turn. */
function channelWalk(count: number, channelCount: number, inner: number): () => number {
  return walkPlaces([count / (channelCount * inner), channelCount, inner], [0, 1, 0]);
}
