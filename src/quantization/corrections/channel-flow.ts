import { integerOf } from '../../onnx/attributes.ts';
import { indexGraph, innerReads, type GraphIndex } from '../../onnx/graph-edit.ts';
import type { OnnxGraph, OnnxNode } from '../../onnx/model.ts';
import { hardSwishShift } from '../hard-swish-gate.ts';
import {
  hasOwnTensors,
  outputChannels,
  PASSES,
  readingOf,
  rectifierBound,
  type Reading,
} from './equalization-pairs.ts';

/** What a node does to the channels of its tensors, as far as scaling them is concerned. */
export type ChannelStep =
  /** A Conv or Gemm whose weights can be scaled: output channels are new. */
  | {
      readonly kind: 'layer';
      readonly node: OnnxNode;
      readonly channelCount: number;
      /** Null when its weights cannot follow a scale of the input. */
      readonly reading: Reading | null;
    }
  /** f(s · x) = s · f(x), channel by channel, all inputs having the same channels. */
  | {
      readonly kind: 'same';
      readonly node: OnnxNode;
      readonly inputs: readonly string[];
      /** Upper bound of a Relu (Infinity) or a Clip; undefined for other nodes. */
      readonly bound: number | undefined;
    }
  /** x · g: the channels of that of both whose channels are known; the other is a gate, nobody scales it. */
  | { readonly kind: 'gated'; readonly node: OnnxNode; readonly inputs: readonly string[] }
  /** x + shift of a HardSwish: can take the scales of x back, and its output has none. */
  | {
      readonly kind: 'gate';
      readonly node: OnnxNode;
      readonly input: string;
      readonly shift: number;
    }
  /** The channels of the inputs after one another. */
  | { readonly kind: 'joined'; readonly node: OnnxNode; readonly inputs: readonly string[] }
  /** Its inputs must stay as they are. */
  | { readonly kind: 'other'; readonly node: OnnxNode; readonly inputs: readonly string[] };

/** One step a node, in the order of the nodes. */
export function channelFlow(graph: OnnxGraph): ChannelStep[] {
  const index = indexGraph(graph);
  return graph.node.map((node) => stepOf(node, index));
}

function stepOf(node: OnnxNode, index: GraphIndex): ChannelStep {
  const [first = ''] = node.input;
  const channelCount = outputChannels(node, index);
  if (channelCount !== undefined && hasOwnTensors(node, index)) {
    return { kind: 'layer', node, channelCount, reading: readingOf(node, index) ?? null };
  }
  const bound = rectifierBound(node, index);
  if (bound !== undefined) return { kind: 'same', node, inputs: [first], bound };
  if (PASSES.has(node.opType)) return { kind: 'same', node, inputs: [first], bound };
  const isComputed = node.input.every((name) => !index.initializers.has(name));
  if (node.opType === 'Add' && isComputed) {
    return { kind: 'same', node, inputs: node.input, bound: undefined };
  }
  if (node.opType === 'Mul' && isComputed) return { kind: 'gated', node, inputs: node.input };
  const shift = hardSwishShift(node, index);
  // Behind a Gemm there are no planes for a convolution to read.
  if (shift !== undefined && index.producers.get(first)?.opType === 'Conv') {
    return { kind: 'gate', node, input: first, shift };
  }
  if (node.opType === 'Concat' && isComputed && integerOf(node, 'axis', 1) === 1) {
    return { kind: 'joined', node, inputs: node.input };
  }
  return { kind: 'other', node, inputs: [...node.input, ...innerReads(node)] };
}
