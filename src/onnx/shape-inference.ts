import { integerOf, integersOf, stringOf, tensorOf } from './attributes.ts';
import { constantOf, productOf, type ConstantValue } from './constant-value.ts';
import { reducedAxes } from './evaluate-reductions.ts';
import { broadcastDims, evaluateNode, hasEvaluator, sliceBounds } from './evaluate.ts';
import { isStandard } from './graph-edit.ts';
import { indexingShapes } from './indexing-shapes.ts';
import type { OnnxGraph, OnnxNode } from './model.ts';
import { dimsOf } from './tensor-data.ts';

/** Sizes of a tensor's axes; NaN where one is not known, as the batch. */
export type Shape = readonly number[];

export interface InferredGraph {
  /** A tensor whose rank does not follow is absent. */
  readonly shapes: ReadonlyMap<string, Shape>;
  /** What is known of values: initializers (read when asked for) and what follows from them. */
  readonly valueOf: (tensor: string) => ConstantValue | undefined;
  /** What follows where the open first axis of inputs has the size of each of `BATCHES`. */
  readonly ofBatches: () => readonly [InferredGraph, InferredGraph];
}

/**
 * What is alike with both does not depend on the batch, nor on whether it is more than some: a limit lies
 * between the two.
 */
const BATCHES = [1, 101] as const;

/**
 * Shapes and constant values as far as they follow from the graph's inputs and initializers. The
 * nodes must be in order. A dynamic axis, a batch in most models, stays unknown; `batch` is the size
 * that an open first axis of an input is taken to have.
 */
export function inferGraph(graph: OnnxGraph, batch = NaN): InferredGraph {
  const shapes = new Map<string, Shape>();
  let batches: readonly [InferredGraph, InferredGraph] | undefined;
  const ofBatches = (): readonly [InferredGraph, InferredGraph] => {
    batches ??= [inferGraph(graph, BATCHES[0]), inferGraph(graph, BATCHES[1])];
    return batches;
  };
  const values = new Map<string, ConstantValue>();
  const initializers = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  const valueOf = (name: string): ConstantValue | undefined => {
    const known = values.get(name);
    const tensor = initializers.get(name);
    if (known !== undefined || tensor === undefined) return known;
    const value = constantOf(tensor);
    // Weights are read anew each time: all of them at once would double the memory.
    if (value !== undefined && value.data.length <= SMALL) values.set(name, value);
    return value;
  };
  for (const { name, type } of graph.input) {
    if (type?.value.case !== 'tensorType' || type.value.value.shape === undefined) continue;
    const { dim } = type.value.value.shape;
    shapes.set(
      name,
      dim.map(({ value }, axis) => {
        if (value.case === 'dimValue' && value.value > 0n) return Number(value.value);
        return axis === 0 ? batch : NaN;
      }),
    );
  }
  for (const tensor of graph.initializer) shapes.set(tensor.name, dimsOf(tensor));
  for (const node of graph.node) {
    const value = valueOfNode(node, shapes, valueOf);
    const [output = ''] = node.output;
    if (value !== undefined && output !== '') {
      values.set(output, value);
      shapes.set(output, value.dims);
      continue;
    }
    const inferred = outputShapes(node, shapes, valueOf);
    for (const [i, name] of node.output.entries()) {
      const shape = inferred[i];
      if (name !== '' && shape !== undefined) shapes.set(name, shape);
    }
    // The batch may cancel out of the size that a Reshape leaves open.
    if (node.opType === 'Reshape' && Number.isNaN(batch) && hasOpenSize(inferred[0]))
      shapes.set(output, alikeInBoth(output, ofBatches()) ?? inferred[0]!); // has an open size
  }
  return { shapes, valueOf, ofBatches };
}

function hasOpenSize(shape: Shape | undefined): boolean {
  return shape?.some((size, axis) => axis > 0 && Number.isNaN(size)) === true;
}

/** The sizes that do not depend on the batch. */
function alikeInBoth(
  tensor: string,
  [one, other]: readonly [InferredGraph, InferredGraph],
): Shape | undefined {
  const sizes = one.shapes.get(tensor);
  const others = other.shapes.get(tensor);
  if (sizes?.length !== others?.length) return undefined;
  return sizes?.map((size, axis) => (size === others?.[axis] ? size : NaN));
}

/** Elements of an initializer that is kept once read. */
const SMALL = 4096;

function valueOfNode(
  node: OnnxNode,
  shapes: ReadonlyMap<string, Shape>,
  valueOf: InferredGraph['valueOf'],
): ConstantValue | undefined {
  const [input = ''] = node.input;
  if (!isStandard(node)) return undefined;
  if (node.opType === 'Constant') {
    const tensor = tensorOf(node, 'value');
    return tensor === undefined ? undefined : constantOf(tensor);
  }
  if (node.opType === 'Shape') {
    const shape = shapes.get(input);
    if (shape === undefined) return undefined;
    const end = integerOf(node, 'end', shape.length);
    const data = Float64Array.from(shape.slice(integerOf(node, 'start', 0), end));
    return { type: 'int64', dims: [data.length], data };
  }
  if (node.opType === 'Size') {
    const count = productOf(shapes.get(input) ?? [NaN]);
    return { type: 'int64', dims: [], data: Float64Array.of(count) };
  }
  // Weights are not read for nothing.
  if (!hasEvaluator(node) || input === '' || valueOf(input) === undefined) return undefined;
  const inputs = node.input.map((name) => (name === '' ? undefined : valueOf(name)));
  return evaluateNode(node, inputs);
}

/** Operators whose output has the shape of their first input. */
const SHAPE_KEEPING = new Set(
  (
    'BatchNormalization Relu Clip LeakyRelu PRelu Sigmoid HardSigmoid HardSwish Elu Selu Tanh Softmax ' +
    'LRN Dropout Identity LogSoftmax Cast QuantizeLinear DequantizeLinear InstanceNormalization ' +
    'Exp Sqrt Abs Neg Erf Gelu Mish Softplus Softsign Floor Ceil Reciprocal LpNormalization Celu ' +
    'LayerNormalization GroupNormalization MeanVarianceNormalization Log Round Sign ThresholdedRelu ' +
    'ScatterND ScatterElements CumSum Trilu Not IsNaN IsInf Sin Cos Atan Hardmax Shrink Swish'
  ).split(' '),
);
const BROADCASTING = new Set(
  (
    'Add Sub Mul Div Pow Mod Max Min Sum Mean Where And Or Xor ' +
    'Equal Greater GreaterOrEqual Less LessOrEqual'
  ).split(' '),
);
const REDUCING = /^Reduce(Mean|Sum|Max|Min|Prod|L1|L2|SumSquare|LogSum|LogSumExp)$/;

function outputShapes(
  node: OnnxNode,
  shapes: ReadonlyMap<string, Shape>,
  valueOf: InferredGraph['valueOf'],
): (Shape | undefined)[] {
  const shape = shapes.get(node.input[0] ?? '');
  if (!isStandard(node)) return [];
  if (shape === undefined) return node.opType === 'Gemm' ? [[NaN, NaN]] : [];
  if (SHAPE_KEEPING.has(node.opType)) return [shape];
  if (REDUCING.test(node.opType)) return [reducedShape(node, shape, valueOf)];
  if (BROADCASTING.has(node.opType)) {
    let sum: Shape | undefined = shape;
    for (const name of node.input.slice(1)) {
      const other = shapes.get(name);
      sum = sum === undefined || other === undefined ? undefined : broadcastDims(sum, other);
    }
    return [sum];
  }
  const second = shapes.get(node.input[1] ?? '');
  switch (node.opType) {
    case 'Conv':
      return [
        second === undefined ? undefined : windowShape(node, shape, second[0]!, second.slice(2)),
      ]; // [M, C, kH, kW]
    case 'MaxPool':
    case 'AveragePool':
      return [windowShape(node, shape, shape[1] ?? NaN, integersOf(node, 'kernel_shape') ?? [])];
    case 'GlobalAveragePool':
    case 'GlobalMaxPool':
      return [shape.map((dim, i) => (i < 2 ? dim : 1))];
    case 'Gemm': {
      const columns = second?.[integerOf(node, 'transB', 0) === 0 ? 1 : 0] ?? NaN;
      return [[shape[integerOf(node, 'transA', 0)] ?? NaN, columns]];
    }
    case 'MatMul': {
      if (second === undefined || shape.length < 2 || second.length < 2) return [];
      const batch = broadcastDims(shape.slice(0, -2), second.slice(0, -2));
      return [batch && [...batch, shape.at(-2) ?? NaN, second.at(-1) ?? NaN]];
    }
    case 'Flatten': {
      const axis = integerOf(node, 'axis', 1);
      const split = axis < 0 ? axis + shape.length : axis;
      return [[productOf(shape.slice(0, split)), productOf(shape.slice(split))]];
    }
    case 'Transpose': {
      const order = integersOf(node, 'perm') ?? shape.map((_, i) => shape.length - 1 - i);
      return [order.map((axis) => shape[axis] ?? NaN)];
    }
    case 'Reshape':
      return [reshapedShape(shape, valueOf(node.input[1] ?? ''))];
    case 'Concat': {
      const parts = node.input.map((name) => shapes.get(name));
      const axis = integerOf(node, 'axis', 1);
      const at = axis < 0 ? axis + shape.length : axis;
      return [
        shape.map((dim, i) =>
          i === at ? parts.reduce((sum, part) => sum + (part?.[at] ?? NaN), 0) : dim,
        ),
      ];
    }
    case 'Squeeze': {
      const axes = valueOf(node.input[1] ?? '');
      if (axes === undefined) return [];
      const dropped = [...axes.data].map((axis) => (axis < 0 ? axis + shape.length : axis));
      return [shape.filter((_, i) => !dropped.includes(i))];
    }
    case 'Unsqueeze': {
      const axes = valueOf(node.input[1] ?? '');
      if (axes === undefined) return [];
      const rank = shape.length + axes.data.length;
      const added = [...axes.data].map((axis) => (axis < 0 ? axis + rank : axis));
      const rest = shape.values();
      return [
        Array.from({ length: rank }, (_, i) =>
          added.includes(i) ? 1 : (rest.next().value ?? NaN),
        ),
      ];
    }
    case 'Slice': {
      const inputs = node.input.map((name) => valueOf(name));
      const starts = inputs[1];
      const bounds = sliceBounds(shape, inputs);
      if (bounds !== undefined) return [bounds.map(({ count }) => count)];
      return [starts === undefined ? undefined : shape.map(() => NaN)];
    }
    case 'Split':
      return splitShapes(node, shape, valueOf);
    case 'Pad': {
      const pads = valueOf(node.input[1] ?? '');
      if (pads?.data.length !== 2 * shape.length || (node.input[3] ?? '') !== '') return [];
      return [shape.map((dim, i) => dim + pads.data[i]! + pads.data[i + shape.length]!)]; // length checked
    }
    case 'Expand': {
      const wanted = valueOf(node.input[1] ?? '');
      return [wanted === undefined ? undefined : broadcastDims(shape, [...wanted.data])];
    }
    case 'SpaceToDepth':
    case 'DepthToSpace': {
      const [batch = NaN, channels = NaN, height = NaN, width = NaN] = shape;
      const size = integerOf(node, 'blocksize', NaN);
      return node.opType === 'SpaceToDepth'
        ? [[batch, channels * size * size, height / size, width / size]]
        : [[batch, channels / (size * size), height * size, width * size]];
    }
    case 'Tile': {
      const repeats = valueOf(node.input[1] ?? '');
      if (repeats?.data.length !== shape.length) return [];
      return [shape.map((dim, i) => dim * repeats.data[i]!)]; // length checked
    }
    case 'Resize': {
      const sizes = valueOf(node.input[3] ?? '');
      const scales = valueOf(node.input[2] ?? '');
      if (sizes?.data.length === shape.length) return [[...sizes.data]];
      if (scales?.data.length !== shape.length) return [shape.map(() => NaN)];
      return [shape.map((dim, i) => Math.floor(dim * scales.data[i]!))]; // length checked
    }
    default:
      return indexingShapes(node, shape, second, valueOf) ?? [];
  }
}

/** [N, C, …spatial] after a window moved over it. */
function windowShape(
  node: OnnxNode,
  shape: Shape,
  channels: number,
  kernel: readonly number[],
): Shape | undefined {
  const spatial = shape.slice(2);
  const strides = integersOf(node, 'strides') ?? spatial.map(() => 1);
  const dilations = integersOf(node, 'dilations') ?? spatial.map(() => 1);
  const pads = integersOf(node, 'pads') ?? spatial.flatMap(() => [0, 0]);
  const same = stringOf(node, 'auto_pad', 'NOTSET').startsWith('SAME');
  const isCeil = integerOf(node, 'ceil_mode', 0) !== 0;
  const sizes = spatial.map((dim, i) => {
    const stride = strides[i] ?? 1;
    if (same) return Math.ceil(dim / stride);
    const reach = (dilations[i] ?? 1) * ((kernel[i] ?? NaN) - 1) + 1;
    const begin = pads[i] ?? 0;
    const padded = dim + begin + (pads[i + spatial.length] ?? 0);
    if (!isCeil) return Math.floor((padded - reach) / stride) + 1;
    const count = Math.ceil((padded - reach) / stride) + 1;
    // A window that would start in the padding behind the image is left out.
    return (count - 1) * stride >= dim + begin ? count - 1 : count;
  });
  return [shape[0] ?? NaN, channels, ...sizes];
}

function reshapedShape(shape: Shape, wanted: ConstantValue | undefined): Shape | undefined {
  if (wanted === undefined) return undefined;
  const dims = [...wanted.data].map((dim, i) => (dim === 0 ? (shape[i] ?? NaN) : dim));
  const open = dims.indexOf(-1);
  if (open === -1) return dims;
  // What the batch is cancels out where it is kept as axis 0.
  const keepsBatch = open !== 0 && Number.isNaN(shape[0]) && wanted.data[0] === 0;
  const first = keepsBatch ? 1 : 0;
  const others = productOf(dims.filter((_, i) => i !== open && i >= first));
  return dims.map((dim, i) => (i === open ? productOf(shape.slice(first)) / others : dim));
}

function reducedShape(
  node: OnnxNode,
  shape: Shape,
  valueOf: InferredGraph['valueOf'],
): Shape | undefined {
  const reduced = reducedAxes(node, shape.length, [undefined, valueOf(node.input[1] ?? '')]);
  if (reduced === undefined) return undefined;
  if (integerOf(node, 'keepdims', 1) !== 0) {
    return shape.map((dim, i) => (reduced.has(i) ? 1 : dim));
  }
  return shape.filter((_, i) => !reduced.has(i));
}

function splitShapes(
  node: OnnxNode,
  shape: Shape,
  valueOf: InferredGraph['valueOf'],
): (Shape | undefined)[] {
  const axis = integerOf(node, 'axis', 0);
  const at = axis < 0 ? axis + shape.length : axis;
  const count = node.output.length;
  const given = valueOf(node.input[1] ?? '');
  const size = Math.ceil((shape[at] ?? NaN) / count);
  return node.output.map((_, i) => {
    const own = given?.data[i] ?? Math.min(size, (shape[at] ?? NaN) - i * size);
    return shape.map((dim, j) => (j === at ? own : dim));
  });
}
