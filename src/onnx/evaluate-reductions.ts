import { floatOf, integerOf, integersOf } from './attributes.ts';
import { productOf, type ConstantValue } from './constant-value.ts';
import type { OnnxNode } from './model.ts';
import { walkPlaces } from './walk-places.ts';

type Inputs = readonly (ConstantValue | undefined)[];

/** A Reduce operator of a constant, in float64. Undefined where a logarithm has no finite result. */
export function evaluateReduction(
  node: OnnxNode,
  { type, dims, data }: ConstantValue,
  inputs: Inputs,
): ConstantValue | undefined {
  const reduction = REDUCTIONS[node.opType];
  const axes = reducedAxes(node, dims.length, inputs);
  if (reduction === undefined || axes === undefined) return undefined;
  // Opsets differ in what a norm of nothing is.
  const { start, join, of = same, finish = same } = reduction;
  if (axes.size === 0 && (of !== same || finish !== same)) return undefined;
  const kept = dims.map((dim, i) => (axes.has(i) ? 1 : dim));
  const count = productOf(kept);
  const each = data.length / count;
  if (!Number.isInteger(each) || each === 0) return undefined;
  const sums = new Float64Array(count).fill(start);
  const steps = kept.map((dim, i) => (dim === 1 ? 0 : productOf(kept.slice(i + 1))));
  const nextPlace = walkPlaces(dims, steps);
  for (const value of data) {
    const place = nextPlace();
    sums[place] = join(sums[place]!, of(value)); // a place of the result
  }
  const results = sums.map((sum) => finish(sum, each));
  if (node.opType.startsWith('ReduceLog') && !results.every(Number.isFinite)) return undefined;
  const isKept = integerOf(node, 'keepdims', 1) !== 0;
  return {
    type,
    dims: isKept ? kept : dims.filter((_, i) => !axes.has(i)),
    data: type === 'float' ? Float32Array.from(results) : results.map(Math.trunc),
  };
}

interface Reduction {
  readonly start: number;
  readonly join: (a: number, b: number) => number;
  /** What is joined of each value; absent: the value. */
  readonly of?: (value: number) => number;
  /** The result of what was joined of `count` values; absent: that itself. */
  readonly finish?: (joined: number, count: number) => number;
}

const same = (value: number): number => value;
const add = (a: number, b: number): number => a + b;
const square = (value: number): number => value * value;

/** What ONNX's Operators.md says of each. */
const REDUCTIONS: Readonly<Record<string, Reduction>> = {
  ReduceMean: { start: 0, join: add, finish: (sum, count) => sum / count },
  ReduceSum: { start: 0, join: add },
  ReduceProd: { start: 1, join: (a, b) => a * b },
  ReduceMax: { start: -Infinity, join: Math.max },
  ReduceMin: { start: Infinity, join: Math.min },
  ReduceL1: { start: 0, join: add, of: Math.abs },
  ReduceL2: { start: 0, join: add, of: square, finish: Math.sqrt },
  ReduceSumSquare: { start: 0, join: add, of: square },
  ReduceLogSum: { start: 0, join: add, finish: Math.log },
  ReduceLogSumExp: { start: 0, join: add, of: Math.exp, finish: Math.log },
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
