import { attributeOf, integerOf } from '../onnx/attributes.ts';
import { soleConsumer, type GraphIndex } from '../onnx/graph-edit.ts';
import type { Initializer, OnnxNode } from '../onnx/model.ts';
import { dimsOf, isFloatTensor, readFloats } from '../onnx/tensor-data.ts';

/** A normalization in the model itself: y = a · x + b in each of three channels. */
export interface ChannelAffine {
  readonly nodes: readonly OnnxNode[];
  readonly output: string;
  readonly factors: Float32Array;
  readonly summands: Float32Array;
}

const CHANNELS = 3;

/**
 * What alone reads `tensor`, where that scales and shifts its channels: a Mul, an Add or both, or a
 * depthwise 1x1 convolution. Null where a channel is thrown away or turned round.
 */
export function channelAffine(tensor: string, index: GraphIndex): ChannelAffine | null {
  const first = soleConsumer(index, tensor);
  if (first?.opType === 'Conv') return ofConvolution(first, index.initializers);
  const nodes: OnnxNode[] = [];
  let output = tensor;
  const read = (opType: string): Float32Array | undefined => {
    const node = soleConsumer(index, output);
    const values = node?.opType === opType ? operandOf(node, output, index) : undefined;
    if (node === undefined || values === undefined) return undefined;
    nodes.push(node);
    output = node.output[0] ?? '';
    return values;
  };
  const factors = read('Mul') ?? new Float32Array(CHANNELS).fill(1);
  const summands = read('Add') ?? new Float32Array(CHANNELS);
  if (nodes.length === 0 || !factors.every((factor) => factor > 0)) return null;
  return { nodes, output, factors, summands };
}

/** One value a channel of [N, 3, H, W], where the other operand is a constant that has them. */
function operandOf(
  { input: [a = '', b = ''] }: OnnxNode,
  tensor: string,
  { initializers }: GraphIndex,
): Float32Array | undefined {
  const constant = initializers.get(a === tensor ? b : a);
  if (constant === undefined || !isFloatTensor(constant)) return undefined;
  const dims = dimsOf(constant).join();
  const isOne = constant.dims.length <= 4 && constant.dims.every((dim) => dim === 1n);
  if (!isOne && dims !== '3,1,1' && dims !== '1,3,1,1') return undefined;
  const values = readFloats(constant);
  return Float32Array.from({ length: CHANNELS }, (_, c) => values[isOne ? 0 : c]!); // one or three
}

function ofConvolution(
  node: OnnxNode,
  initializers: ReadonlyMap<string, Initializer>,
): ChannelAffine | null {
  const weight = initializers.get(node.input[1] ?? '');
  const biasName = node.input[2] ?? '';
  const bias = initializers.get(biasName);
  const isPointwise =
    integerOf(node, 'group', 1) === CHANNELS &&
    weight !== undefined &&
    isFloatTensor(weight) &&
    dimsOf(weight).join() === '3,1,1,1';
  const isPlain = ['pads', 'strides', 'auto_pad'].every(
    (name) => attributeOf(node, name) === undefined,
  );
  if (!isPointwise || !isPlain || (biasName !== '' && bias === undefined)) return null;
  const factors = readFloats(weight);
  if (!factors.every((factor) => factor > 0)) return null;
  return {
    ...{ nodes: [node], output: node.output[0] ?? '', factors },
    summands: bias === undefined ? new Float32Array(CHANNELS) : readFloats(bias),
  };
}
