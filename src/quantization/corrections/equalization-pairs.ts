import { integerOf, integersOf } from '../../onnx/attributes.ts';
import { indexGraph, soleConsumer, type GraphIndex } from '../../onnx/graph-edit.ts';
import type { OnnxGraph, OnnxNode } from '../../onnx/model.ts';
import { dimsOf, isFloatTensor, readFloats } from '../../onnx/tensor-data.ts';

/** Two layers with nothing between them but what lets a scale of a channel through. */
export interface EqualizationPair {
  readonly first: OnnxNode;
  readonly second: OnnxNode;
  /** Output of `first`, which names the pair. */
  readonly tensor: string;
  /** What `second` sees of it: after Relu or Clip, before pools. */
  readonly activation: string;
  /** Upper bound of the Clip between them; Infinity without one. */
  readonly high: number;
  /** Whether a Relu or a Clip from 0 stands between them. */
  readonly isRectified: boolean;
  readonly channelCount: number;
  readonly connection: Reading['connection'];
  /** Whether a constant may move through `second`: not where padding puts zeros beside it. */
  readonly absorbs: boolean;
}

/**
 * Pairs Conv or Gemm → Relu, Clip or nothing → pools that commute with scales → Conv or Gemm, each
 * tensor between them read once, constant weights and biases read once.
 */
export function findEqualizationPairs(graph: OnnxGraph): EqualizationPair[] {
  const index = indexGraph(graph);
  return graph.node.flatMap((node) => {
    const pair = pairFrom(node, index);
    return pair === undefined ? [] : [pair];
  });
}

function pairFrom(first: OnnxNode, index: GraphIndex): EqualizationPair | undefined {
  const channelCount = outputChannels(first, index);
  if (channelCount === undefined) return undefined;
  const tensor = first.output[0] ?? '';
  let activation = tensor;
  let high = Infinity;
  let isRectified = false;
  let next = soleConsumer(index, tensor);
  const bound = next === undefined ? undefined : rectifierBound(next, index);
  if (next !== undefined && bound !== undefined) {
    activation = next.output[0] ?? '';
    high = bound;
    isRectified = true;
    next = soleConsumer(index, activation);
  }
  let absorbs = true;
  while (next !== undefined && PASSES.has(next.opType)) {
    // An average pool may count padding, which a constant must not change.
    if (next.opType === 'AveragePool' || next.opType === 'MaxPool') absorbs = false;
    next = soleConsumer(index, next.output[0] ?? '');
  }
  if (next === undefined) return undefined;
  const reading = readingOf(next, index);
  if (reading?.channelCount !== channelCount) return undefined;
  if (!hasOwnTensors(first, index) || !hasOwnTensors(next, index)) return undefined;
  return {
    first,
    second: next,
    tensor,
    activation,
    high,
    isRectified,
    channelCount,
    connection: reading.connection,
    absorbs: absorbs && !hasPadding(next),
  };
}

/** f(s · x) = s · f(x) for s > 0, channel by channel. */
export const PASSES = new Set(['MaxPool', 'AveragePool', 'GlobalAveragePool', 'Flatten']);

/** The upper bound of a Relu or of a Clip from 0; undefined for other nodes. */
export function rectifierBound(node: OnnxNode, index: GraphIndex): number | undefined {
  if (node.opType === 'Relu') return Infinity;
  if (node.opType !== 'Clip') return undefined;
  const [low, high] = [node.input[1] ?? '', node.input[2] ?? ''].map((name) => {
    const tensor = index.initializers.get(name);
    return tensor !== undefined && isFloatTensor(tensor) ? readFloats(tensor)[0] : undefined;
  });
  if (low !== 0) return undefined;
  return (node.input[2] ?? '') === '' ? Infinity : high;
}

/** Output channels of a Conv over two dimensions or a plain Gemm with constant weights. */
export function outputChannels(node: OnnxNode, index: GraphIndex): number | undefined {
  const dims = weightDims(node, index);
  if (dims === undefined) return undefined;
  return node.opType === 'Conv' || integerOf(node, 'transB', 0) === 1 ? dims[0] : dims[1];
}

/** Which channels a layer reads. */
export interface Reading {
  readonly channelCount: number;
  /** `by-channel`: each output reads one channel, so that weights pay nothing for its scale. */
  readonly connection: 'full' | 'by-channel';
}

/** Undefined when the weights cannot follow a scale of the input. */
export function readingOf(node: OnnxNode, index: GraphIndex): Reading | undefined {
  const dims = weightDims(node, index);
  if (dims === undefined) return undefined;
  if (node.opType === 'Gemm') {
    // As many inputs as channels: a Flatten before it joined no pixels.
    const inputs = integerOf(node, 'transB', 0) === 1 ? dims[1] : dims[0];
    return { channelCount: inputs ?? 0, connection: 'full' };
  }
  const group = integerOf(node, 'group', 1);
  if (group === 1) return { channelCount: dims[1] ?? 0, connection: 'full' };
  return dims[1] === 1 ? { channelCount: group, connection: 'by-channel' } : undefined;
}

function weightDims(node: OnnxNode, index: GraphIndex): number[] | undefined {
  if (node.opType !== 'Conv' && node.opType !== 'Gemm') return undefined;
  if (node.opType === 'Gemm' && integerOf(node, 'transA', 0) !== 0) return undefined;
  const weight = index.initializers.get(node.input[1] ?? '');
  if (weight === undefined || !isFloatTensor(weight)) return undefined;
  const dims = dimsOf(weight);
  return dims.length === (node.opType === 'Conv' ? 4 : 2) ? dims : undefined;
}

/** Whether the weights and the bias are constants that no other node reads. */
export function hasOwnTensors(node: OnnxNode, index: GraphIndex): boolean {
  return [node.input[1] ?? '', node.input[2] ?? ''].every(
    (name) =>
      name === '' || (index.initializers.has(name) && index.consumers.get(name)?.length === 1),
  );
}

function hasPadding(node: OnnxNode): boolean {
  if (node.opType !== 'Conv') return false;
  const isAutomatic = node.attribute.some(({ name }) => name === 'auto_pad');
  return isAutomatic || (integersOf(node, 'pads') ?? []).some((pad) => pad !== 0);
}
