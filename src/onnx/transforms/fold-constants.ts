import { clone } from '@bufbuild/protobuf';
import { attributeOf, floatOf, integerOf, integersOf, tensorOf } from '../attributes.ts';
import { makeIntegers, makeTensor } from '../build.ts';
import { initializerOf, isFullyKnown } from '../constant-value.ts';
import { denseTensor } from '../dense-tensor.ts';
import { TensorProto_DataType as DataType, TensorProtoSchema } from '../generated/onnx_pb.ts';
import { indexGraph, nameMaker, sortNodes } from '../graph-edit.ts';
import { createLiveIndex, type LiveIndex } from '../live-index.ts';
import type { Initializer, OnnxGraph, OnnxNode } from '../model.ts';
import { elementTypeOf } from '../model-signature.ts';
import { inferGraph, type InferredGraph } from '../shape-inference.ts';
import { dimsOf, isFloatTensor, isHalfTensor, readFloats } from '../tensor-data.ts';

/**
 * Turns Constant nodes and all that follows from constants and known shapes into initializers, removes
 * nodes that only pass their input on (Identity, Dropout at inference, Concat of one tensor, a cast or
 * a window that changes nothing), widens weights kept in float16, and leaves no Reshape with a computed shape where only the batch is
 * open. The nodes are in order afterwards.
 */
export function foldConstants(graph: OnnxGraph): void {
  graph.node = graph.node.filter((node) => {
    if (node.opType !== 'Constant') return true;
    const tensor = constantTensor(node);
    if (tensor === undefined) return true;
    graph.initializer.push(tensor);
    return false;
  });
  writeOutSparse(graph);
  widenHalves(graph);
  sortNodes(graph);
  const inferred = inferGraph(graph);
  const newName = nameMaker(graph);
  const outputs = new Set(graph.output.map(({ name }) => name));
  const read = new Set([...outputs, ...graph.node.flatMap(({ input }) => input)]);
  read.delete(''); // an input that is left out
  const folded = new Set<OnnxNode>();
  for (const node of graph.node) {
    const [name = ''] = node.output;
    if (node.opType === 'Reshape') fixReshape(node, graph, inferred, newName);
    if (outputs.has(name) || node.output.slice(1).some((other) => read.has(other))) continue;
    const value = inferred.valueOf(name);
    if (value === undefined || value.type === 'bool' || !isFullyKnown(value)) continue;
    graph.initializer.push(initializerOf(name, value));
    folded.add(node);
  }
  graph.node = graph.node.filter((node) => !folded.has(node));
  const index = createLiveIndex(graph);
  const known = { index, shapes: inferred.shapes, floats: float32Tensors(graph) };
  for (const node of graph.node) {
    if (onlyPassesOn(node, known)) index.bypass(node, node.input[0] ?? '');
  }
  index.settle();
}

/** Sparse initializers become dense ones: what computes with them is then a layer like any other. */
function writeOutSparse(graph: OnnxGraph): void {
  graph.sparseInitializer = graph.sparseInitializer.filter((sparse) => {
    const tensor = denseTensor(sparse.values?.name ?? '', sparse);
    if (tensor !== undefined) graph.initializer.push(tensor);
    return tensor === undefined;
  });
}

/** Weights kept in float16 that a Cast makes float32 become so here. */
function widenHalves(graph: OnnxGraph): void {
  const { initializers } = indexGraph(graph);
  const isKept = new Set(graph.output.map(({ name }) => name));
  graph.node = graph.node.filter((node) => {
    const half = initializers.get(node.input[0] ?? '');
    const [output = ''] = node.output;
    if (node.opType !== 'Cast' || integerOf(node, 'to', 0) !== FLOAT || isKept.has(output))
      return true;
    if (half === undefined || !isHalfTensor(half)) return true;
    graph.initializer.push(makeTensor(output, dimsOf(half), readFloats(half)));
    return false;
  });
}

const FLOAT: number = DataType.FLOAT;

function constantTensor(node: OnnxNode): Initializer | undefined {
  const name = node.output[0] ?? '';
  const tensor = tensorOf(node, 'value');
  if (tensor !== undefined) {
    const copy = clone(TensorProtoSchema, tensor);
    copy.name = name;
    return copy;
  }
  const sparse = attributeOf(node, 'sparse_value')?.sparseTensor;
  if (sparse !== undefined) return denseTensor(name, sparse);
  if (attributeOf(node, 'value_float') !== undefined) {
    return makeTensor(name, [], Float32Array.of(floatOf(node, 'value_float', 0)));
  }
  const floats = attributeOf(node, 'value_floats')?.floats;
  if (floats !== undefined) return makeTensor(name, [floats.length], Float32Array.from(floats));
  const integer = attributeOf(node, 'value_int')?.i;
  if (integer !== undefined) return makeTensor(name, [], BigInt64Array.of(integer));
  const integers = attributeOf(node, 'value_ints')?.ints;
  if (integers === undefined) return undefined;
  return makeTensor(name, [integers.length], BigInt64Array.from(integers));
}

/** A computed shape whose only unknown is the batch becomes a constant with -1 or 0 in its place. */
function fixReshape(
  node: OnnxNode,
  graph: OnnxGraph,
  inferred: InferredGraph,
  newName: (wanted: string) => string,
): void {
  const wanted = inferred.valueOf(node.input[1] ?? '');
  if (wanted === undefined || isFullyKnown(wanted) || integerOf(node, 'allowzero', 0) !== 0) return;
  const dims = [...wanted.data];
  const open = dims.findIndex(Number.isNaN);
  if (dims.filter(Number.isNaN).length !== 1) return;
  if (!dims.includes(-1)) {
    dims[open] = -1;
  } else if (open === 0 && inferred.ofBatches().every((known) => keepsFirstAxis(node, known))) {
    dims[open] = 0; // the batch stays what it was
  } else {
    return;
  }
  const name = newName(`${node.output[0] ?? ''}_shape`);
  graph.initializer.push(makeIntegers(name, dims));
  node.input[1] = name;
}

/** Whether a Reshape's first size is that of its input, and no multiple of it. */
function keepsFirstAxis(reshape: OnnxNode, { shapes, valueOf }: InferredGraph): boolean {
  const [input = '', wanted = ''] = reshape.input;
  return valueOf(wanted)?.data[0] === (shapes.get(input)?.[0] ?? NaN);
}

/** Operators whose output has the type of their first input. */
const TYPE_KEEPING = new Set(
  (
    'Conv Gemm MatMul BatchNormalization Relu Clip LeakyRelu PRelu Sigmoid HardSigmoid HardSwish Tanh Elu ' +
    'Add Sub Mul Div Sum Concat MaxPool AveragePool GlobalMaxPool GlobalAveragePool ReduceMean Softmax ' +
    'Identity Dropout Reshape Flatten Transpose Squeeze Unsqueeze Slice Pad Resize'
  ).split(' '),
);

/** Names of tensors that are float32 for certain. The nodes must be in order. */
function float32Tensors(graph: OnnxGraph): ReadonlySet<string> {
  const floats = new Set(graph.initializer.filter(isFloatTensor).map(({ name }) => name));
  for (const input of graph.input) if (elementTypeOf(input) === FLOAT) floats.add(input.name);
  for (const node of graph.node) {
    const [output = ''] = node.output;
    const isFloat =
      node.opType === 'Cast'
        ? integerOf(node, 'to', 0) === FLOAT
        : TYPE_KEEPING.has(node.opType) && floats.has(node.input[0] ?? '');
    if (isFloat) floats.add(output);
  }
  return floats;
}

interface Known {
  readonly index: LiveIndex;
  readonly shapes: InferredGraph['shapes'];
  readonly floats: ReadonlySet<string>;
}

function onlyPassesOn(node: OnnxNode, { index, shapes, floats }: Known): boolean {
  switch (node.opType) {
    case 'Identity':
      return true;
    case 'Cast':
      return integerOf(node, 'to', 0) === FLOAT && floats.has(node.input[0] ?? '');
    case 'Dropout':
      return maskIsUnused(index, node);
    case 'Concat':
    case 'Sum':
      return node.input.length === 1;
    case 'AveragePool':
    case 'MaxPool':
      return (
        node.output.length === 1 &&
        integersOf(node, 'kernel_shape')?.every((size) => size === 1) === true &&
        (integersOf(node, 'strides') ?? []).every((stride) => stride === 1) &&
        (integersOf(node, 'pads') ?? []).every((pad) => pad === 0)
      );
    case 'Transpose': {
      const order = integersOf(node, 'perm');
      return order?.every((axis, i) => axis === i) === true;
    }
    case 'Flatten':
      return integerOf(node, 'axis', 1) === 1 && shapes.get(node.input[0] ?? '')?.length === 2;
    default:
      return false;
  }
}

/** A Dropout whose mask somebody reads stays; its training_mode input is false in exported models. */
function maskIsUnused({ consumers, outputs }: LiveIndex, dropout: OnnxNode): boolean {
  const mask = dropout.output[1];
  if (mask === undefined || mask === '') return true;
  return !outputs.has(mask) && (consumers.get(mask) ?? []).length === 0;
}
