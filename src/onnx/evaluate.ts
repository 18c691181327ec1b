import { integerOf, integersOf, tensorOf } from './attributes.ts';
import {
  constantOf,
  MAX_CONSTANT_ELEMENTS,
  productOf,
  type ConstantValue,
} from './constant-value.ts';
import { evaluateBatchNorm, evaluateReduction } from './evaluate-reductions.ts';
import { TensorProto_DataType as DataType } from './generated/onnx_pb.ts';
import type { OnnxNode } from './model.ts';
import { isStandard } from './graph-edit.ts';
import { walkPlaces } from './walk-places.ts';

/** What is known of a node's inputs: undefined where nothing is, or where the input is absent. */
export type KnownInputs = readonly (ConstantValue | undefined)[];

/**
 * What is known of a node's first output, from its inputs' values: constant sub-graphs and the shape
 * arithmetic that exporters write for Reshape, Resize and Expand. Undefined for other operators, and
 * where the result does not follow. Semantics are those of opset 13 to 22.
 */
export function evaluateNode(node: OnnxNode, inputs: KnownInputs): ConstantValue | undefined {
  const evaluate = hasEvaluator(node) ? EVALUATORS[node.opType] : undefined;
  const [first] = inputs;
  if (evaluate === undefined || first === undefined) return undefined;
  return evaluate(node, first, inputs);
}

/** Whether `evaluateNode` knows the operator. */
export function hasEvaluator(node: OnnxNode): boolean {
  return isStandard(node) && Object.hasOwn(EVALUATORS, node.opType);
}

type Evaluator = (
  node: OnnxNode,
  first: ConstantValue,
  inputs: KnownInputs,
) => ConstantValue | undefined;

const unary =
  (compute: (value: number) => number): Evaluator =>
  (_, { type, dims, data }) => ({ type, dims, data: data.map(compute) });
const binary =
  (compute: (a: number, b: number) => number): Evaluator =>
  (_, first, [, second]) =>
    second === undefined ? undefined : broadcast(first, second, compute);
/** Of one input or more. */
const variadic =
  (compute: (a: number, b: number) => number): Evaluator =>
  (_, first, [, ...others]) =>
    others.reduce<ConstantValue | undefined>(
      (result, other) =>
        result === undefined || other === undefined ? undefined : broadcast(result, other, compute),
      first,
    );

const EVALUATORS: Readonly<Record<string, Evaluator>> = {
  Identity: (_, first) => first,
  Neg: unary((value) => -value),
  Abs: unary(Math.abs),
  Sqrt: unary(Math.sqrt),
  Exp: unary(Math.exp),
  Tanh: unary(Math.tanh),
  Sigmoid: unary((value) => 1 / (1 + Math.exp(-value))),
  Relu: unary((value) => Math.max(value, 0)),
  Floor: unary(Math.floor),
  Ceil: unary(Math.ceil),
  Reciprocal: unary((value) => 1 / value),
  Add: binary((a, b) => a + b),
  Sub: binary((a, b) => a - b),
  Mul: binary((a, b) => a * b),
  Pow: binary((a, b) => a ** b),
  Min: variadic(Math.min),
  Max: variadic(Math.max),
  Div: (_, first, [, second]) => {
    if (second === undefined) return undefined;
    // Integers are cut off towards zero, and division by zero has no result.
    if (first.type === 'float') return broadcast(first, second, (a, b) => a / b);
    return broadcast(first, second, (a, b) => (b === 0 ? NaN : Math.trunc(a / b)));
  },
  // Of the sign of the divisor, or of the dividend where fmod asks for it.
  Mod: (node, first, [, second]) => {
    if (second === undefined) return undefined;
    if (integerOf(node, 'fmod', 0) !== 0) return broadcast(first, second, (a, b) => a % b);
    return broadcast(first, second, (a, b) => a - b * Math.floor(a / b));
  },
  Clip: (node, first, [, low, high]) => {
    const isGiven = (position: number): boolean => (node.input[position] ?? '') !== '';
    if ((isGiven(1) && low === undefined) || (isGiven(2) && high === undefined)) return undefined;
    const [least, most] = [low?.data[0] ?? -Infinity, high?.data[0] ?? Infinity];
    return { ...first, data: first.data.map((value) => Math.min(most, Math.max(least, value))) };
  },
  Equal: (_, first, [, second]) => {
    if (second === undefined) return undefined;
    // Of a value that is not known nothing follows.
    const isEqual = (a: number, b: number): number =>
      Number.isNaN(a) || Number.isNaN(b) ? NaN : Number(a === b);
    return broadcast(
      { ...first, type: 'bool', data: Float64Array.from(first.data) },
      second,
      isEqual,
    );
  },
  Where: (_, first, [, chosen, other]) => {
    if (chosen === undefined || other === undefined) return undefined;
    if (chosen.type === 'float' && first.data.some(Number.isNaN)) return undefined;
    const taken = broadcast(chosen, first, (value, is) => (is === 0 ? 0 : is === 1 ? value : NaN));
    const left = broadcast(other, first, (value, is) => (is === 1 ? 0 : is === 0 ? value : NaN));
    return taken === undefined || left === undefined
      ? undefined
      : broadcast(taken, left, (a, b) => a + b);
  },
  ReduceMean: evaluateReduction,
  ReduceSum: evaluateReduction,
  ReduceProd: evaluateReduction,
  ReduceMax: evaluateReduction,
  ReduceMin: evaluateReduction,
  ReduceL1: evaluateReduction,
  ReduceL2: evaluateReduction,
  ReduceSumSquare: evaluateReduction,
  ReduceLogSum: evaluateReduction,
  ReduceLogSumExp: evaluateReduction,
  BatchNormalization: evaluateBatchNorm,
  Cast: evaluateCast,
  Concat: evaluateConcat,
  Unsqueeze: (node, first, inputs) => {
    const axes = axesOf(node, inputs);
    if (axes === undefined) return undefined;
    const rank = first.dims.length + axes.length;
    const added = new Set(axes.map((axis) => (axis < 0 ? axis + rank : axis)));
    let next = 0;
    const dims = Array.from({ length: rank }, (__, i) => (added.has(i) ? 1 : first.dims[next++]));
    return next === first.dims.length ? reshaped(first, dims) : undefined;
  },
  Squeeze: (node, first, inputs) => {
    const axes = axesOf(node, inputs);
    const rank = first.dims.length;
    const dropped = axes?.map((axis) => (axis < 0 ? axis + rank : axis));
    return reshaped(
      first,
      first.dims.filter((dim, i) => (dropped === undefined ? dim !== 1 : !dropped.includes(i))),
    );
  },
  Reshape: (node, first, [, shape]) => {
    if (shape === undefined || integerOf(node, 'allowzero', 0) !== 0) return undefined;
    const dims = [...shape.data].map((dim, i) => (dim === 0 ? (first.dims[i] ?? 0) : dim));
    const open = dims.indexOf(-1);
    if (open !== -1) {
      const others = productOf(dims.filter((__, i) => i !== open));
      dims[open] = first.data.length / others;
    }
    return reshaped(first, dims);
  },
  Flatten: (node, first) => {
    const axis = integerOf(node, 'axis', 1);
    const split = axis < 0 ? axis + first.dims.length : axis;
    const rows = productOf(first.dims.slice(0, split));
    return reshaped(first, [rows, first.data.length / rows]);
  },
  Transpose: (node, first) => {
    const rank = first.dims.length;
    const order = integersOf(node, 'perm') ?? first.dims.map((__, i) => rank - 1 - i);
    const dims = order.map((axis) => first.dims[axis] ?? NaN);
    return pick(first, dims, (index) => {
      const source: number[] = [];
      for (const [i, axis] of order.entries()) source[axis] = index[i] ?? 0;
      return source;
    });
  },
  Gather: (node, first, [, indices]) => {
    if (indices === undefined) return undefined;
    const axis = positiveAxis(integerOf(node, 'axis', 0), first.dims.length);
    const size = first.dims[axis] ?? 0;
    const chosen = [...indices.data].map((value) => (value < 0 ? value + size : value));
    if (chosen.some((value) => !(value >= 0 && value < size))) return undefined;
    const dims = [...first.dims.slice(0, axis), ...indices.dims, ...first.dims.slice(axis + 1)];
    const strides = stridesOf(indices.dims);
    return pick(first, dims, (index) => {
      const inner = index.slice(axis, axis + indices.dims.length);
      const at = inner.reduce((sum, value, i) => sum + value * strides[i]!, 0); // of equal length
      return [...index.slice(0, axis), chosen[at] ?? 0, ...index.slice(axis + indices.dims.length)];
    });
  },
  Slice: (_, first, inputs) => {
    const bounds = sliceBounds(first.dims, inputs);
    if (bounds === undefined) return undefined;
    const dims = bounds.map(({ count }) => count);
    return pick(
      first,
      dims,
      (index) => index.map((value, i) => bounds[i]!.start + value * bounds[i]!.step), // one bound an axis
    );
  },
  ConstantOfShape: (node, first) => {
    const tensor = tensorOf(node, 'value');
    const value = tensor === undefined ? undefined : constantOf(tensor);
    if (tensor !== undefined && value === undefined) return undefined;
    return filled([...first.data], value?.type ?? 'float', value?.data[0] ?? 0);
  },
  Range: (_, first, [, limit, delta]) => {
    const [from = NaN, to = NaN, step = NaN] = [first, limit, delta].map((v) => v?.data[0]);
    const count = Math.max(0, Math.ceil((to - from) / step));
    if (!(count <= MAX_CONSTANT_ELEMENTS)) return undefined;
    const data = Float64Array.from({ length: count }, (__, i) => from + i * step);
    return ofType(first.type, [count], data);
  },
  Expand: (_, first, [, shape]) => {
    if (shape === undefined) return undefined;
    const ones = filled([...shape.data], first.type, 1);
    return ones === undefined ? undefined : broadcast(first, ones, (a) => a);
  },
};

/** Axis lists are an input from opset 13 on, an attribute before. */
function axesOf(node: OnnxNode, inputs: KnownInputs): number[] | undefined {
  const axes = inputs[1];
  return axes === undefined ? integersOf(node, 'axes') : [...axes.data];
}

/** [start, start + count * step) of each axis of Slice, or undefined where it does not follow. */
export function sliceBounds(
  dims: readonly number[],
  [, starts, ends, axes, steps]: KnownInputs,
): { readonly start: number; readonly count: number; readonly step: number }[] | undefined {
  if (starts === undefined || ends === undefined) return undefined;
  const bounds = dims.map((count) => ({ start: 0, count, step: 1 }));
  for (const [i, given] of starts.data.entries()) {
    const axis = positiveAxis(axes?.data[i] ?? i, dims.length);
    const size = dims[axis] ?? NaN;
    const step = steps?.data[i] ?? 1;
    const end = ends.data[i] ?? NaN;
    const at = (value: number): number => (value < 0 ? value + size : value);
    const [low, high] = step > 0 ? [0, size] : [-1, size - 1];
    const start = Math.min(Math.max(at(given), Math.max(low, 0)), high);
    const stop = Math.min(Math.max(at(end), low), high);
    const count = Math.max(0, Math.ceil((stop - start) / step));
    if (Number.isNaN(count) || Number.isNaN(start) || step === 0) return undefined;
    bounds[axis] = { start, count, step };
  }
  return bounds;
}

function evaluateCast(node: OnnxNode, first: ConstantValue): ConstantValue | undefined {
  const type = CAST_TYPES[integerOf(node, 'to', 0)];
  if (type === undefined) return undefined;
  if (type === 'float') {
    // A float NaN would look like a value.
    return first.data.some(Number.isNaN) ? undefined : ofType('float', first.dims, first.data);
  }
  return ofType(
    type,
    first.dims,
    Float64Array.from(first.data, (value) => Math.trunc(value)),
  );
}

const CAST_TYPES: Readonly<Record<number, ConstantValue['type']>> = {
  [DataType.FLOAT]: 'float',
  [DataType.INT64]: 'int64',
  [DataType.INT32]: 'int32',
};

function evaluateConcat(
  node: OnnxNode,
  first: ConstantValue,
  inputs: KnownInputs,
): ConstantValue | undefined {
  const parts = inputs.flatMap((input) => (input === undefined ? [] : [input]));
  if (parts.length !== node.input.length) return undefined;
  const axis = positiveAxis(integerOf(node, 'axis', 0), first.dims.length);
  const sizes = parts.map(({ dims }) => dims[axis] ?? 0);
  const dims = first.dims.map((dim, i) => (i === axis ? sizes.reduce((a, b) => a + b, 0) : dim));
  const outer = productOf(first.dims.slice(0, axis));
  const data = emptyData(first.type, productOf(dims));
  if (data === undefined) return undefined;
  let at = 0;
  for (let row = 0; row < outer; row += 1) {
    for (const part of parts) {
      const length = part.data.length / outer;
      if (at + length > data.length) return undefined;
      data.set(part.data.subarray(row * length, (row + 1) * length), at);
      at += length;
    }
  }
  return { type: first.type, dims, data };
}

function broadcast(
  a: ConstantValue,
  b: ConstantValue,
  compute: (a: number, b: number) => number,
): ConstantValue | undefined {
  const dims = broadcastDims(a.dims, b.dims);
  const data = dims === undefined ? undefined : emptyData(a.type, productOf(dims));
  if (dims === undefined || data === undefined) return undefined;
  const walk = ({ dims: own }: ConstantValue): (() => number) => {
    const strides = stridesOf(own);
    const skip = dims.length - own.length;
    const stepOf = (axis: number): number => (own[axis] === 1 ? 0 : (strides[axis] ?? 0)); // 1: repeated
    return walkPlaces(
      dims,
      dims.map((_, i) => (i < skip ? 0 : stepOf(i - skip))),
    );
  };
  const [nextOfA, nextOfB] = [walk(a), walk(b)];
  // The places lie inside the operands by construction.
  for (let i = 0; i < data.length; i += 1)
    data[i] = compute(a.data[nextOfA()]!, b.data[nextOfB()]!);
  return { type: a.type, dims, data };
}

/** NumPy's rule; undefined where the two do not go together. NaN stands for an unknown size. */
export function broadcastDims(a: readonly number[], b: readonly number[]): number[] | undefined {
  const rank = Math.max(a.length, b.length);
  const dims: number[] = [];
  for (let i = 0; i < rank; i += 1) {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1 && !Number.isNaN(x) && !Number.isNaN(y)) return undefined;
    dims.push(x === 1 ? y : Number.isNaN(x) && y !== 1 ? y : x);
  }
  return dims;
}

/** Values of `source` in new places: `sourceIndex` tells where each comes from. */
function pick(
  source: ConstantValue,
  dims: readonly number[],
  sourceIndex: (index: readonly number[]) => readonly number[],
): ConstantValue | undefined {
  const data = emptyData(source.type, productOf(dims));
  if (data === undefined) return undefined;
  const strides = stridesOf(dims);
  const sourceStrides = stridesOf(source.dims);
  for (let flat = 0; flat < data.length; flat += 1) {
    const index = dims.map((dim, i) => Math.floor(flat / strides[i]!) % dim); // one stride an axis
    const at = sourceIndex(index).reduce(
      (sum, value, i) => sum + value * (sourceStrides[i] ?? 0),
      0,
    );
    data[flat] = source.data[at] ?? NaN;
  }
  return { type: source.type, dims, data };
}

function reshaped(
  value: ConstantValue,
  dims: readonly (number | undefined)[],
): ConstantValue | undefined {
  const known = dims.filter((dim) => dim !== undefined);
  if (known.length !== dims.length || productOf(known) !== value.data.length) return undefined;
  return { ...value, dims: known };
}

function filled(
  dims: readonly number[],
  type: ConstantValue['type'],
  value: number,
): ConstantValue | undefined {
  const data = dims.every((dim) => dim >= 0) ? emptyData(type, productOf(dims)) : undefined;
  return data === undefined ? undefined : { type, dims, data: data.fill(value) };
}

function ofType(
  type: ConstantValue['type'],
  dims: readonly number[],
  data: Float32Array | Float64Array,
): ConstantValue {
  return { type, dims, data: type === 'float' ? Float32Array.from(data) : Float64Array.from(data) };
}

function emptyData(
  type: ConstantValue['type'],
  count: number,
): Float32Array | Float64Array | undefined {
  if (!Number.isInteger(count) || count < 0 || count > MAX_CONSTANT_ELEMENTS) return undefined;
  return type === 'float' ? new Float32Array(count) : new Float64Array(count);
}

function stridesOf(dims: readonly number[]): number[] {
  return dims.map((_, i) => productOf(dims.slice(i + 1)));
}

function positiveAxis(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}
