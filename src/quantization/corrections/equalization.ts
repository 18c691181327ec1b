import { wrapTensor } from '../../onnx/build.ts';
import { nameMaker, pruneInitializers } from '../../onnx/graph-edit.ts';
import type { Initializer, OnnxGraph, OnnxNode } from '../../onnx/model.ts';
import { dimsOf, readFloats } from '../../onnx/tensor-data.ts';
import { channelAt, eachStretch, inputLayout, outputLayout } from './channel-layout.ts';
import { otherModel, propagateScales } from './channel-scales.ts';
import { findEqualizationPairs } from './equalization-pairs.ts';

/** What is done to the channels between two layers: x' = scale · (x - shift). */
export interface ChannelChange {
  /** Output of the first layer. */
  readonly tensor: string;
  readonly scales: number[];
  /** Absent: none is shifted. */
  readonly shifts?: number[];
}

/** The least and the largest value of each channel of an activation. */
export interface ChannelRanges {
  readonly min: Float64Array;
  readonly max: Float64Array;
}

/**
 * Carries `changes` out, in place: weights and bias of the layer that makes a tensor times its scale,
 * weights of all layers that read it, through Relu, pools, Add and Concat, divided by it (Nagel et al.
 * 2019, section 4.1), and shifts moved from the first bias of a pair into the second (section 4.1.3).
 * @throws OnnxError `quantization/other-model`
 */
export function applyEqualization(graph: OnnxGraph, changes: readonly ChannelChange[]): void {
  if (changes.length === 0) return;
  const wanted = new Map(changes.map((change) => [change.tensor, change]));
  const pairs = new Map(findEqualizationPairs(graph).map((pair) => [pair.second, pair]));
  const tensors = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  const scales = propagateScales(graph, wanted);
  const shiftable = new Set([...pairs.values()].map(({ tensor }) => tensor));
  for (const { tensor, shifts } of changes) {
    if (shifts !== undefined && !shiftable.has(tensor)) throw otherModel(tensor);
  }
  const newName = nameMaker(graph);
  for (const node of graph.node) {
    const made = wanted.get(node.output[0] ?? '');
    const read = scales.get(node.input[0] ?? '');
    const shifts = wanted.get(pairs.get(node)?.tensor ?? '')?.shifts;
    // Only layers make or read scales that need weights changed.
    if (!isLayer(node) || (made === undefined && read === undefined && shifts === undefined))
      continue;
    const layer = openLayer(node, tensors);
    if (shifts !== undefined) absorb(layer, shifts);
    if (read !== undefined) divideInputs(layer, read);
    if (made !== undefined) scaleOutputs(layer, made);
    const write = (input: 1 | 2, sizes: readonly number[], data: Float32Array): void => {
      const name = newName(`${node.input[1] ?? ''}_equalized`);
      graph.initializer.push(wrapTensor(name, sizes, data));
      while (node.input.length < input) node.input.push('');
      node.input[input] = name;
    };
    if (layer.hasBias) write(2, [layer.bias.length], layer.bias);
    write(1, layer.dims, layer.weights);
  }
  pruneInitializers(graph);
}

function isLayer({ opType }: OnnxNode): boolean {
  return opType === 'Conv' || opType === 'Gemm';
}

/** Copies of a layer's weights and bias, to be changed. */
interface OpenLayer {
  readonly node: OnnxNode;
  readonly dims: readonly number[];
  readonly weights: Float32Array;
  /** [M]; zeros while `hasBias` is false. */
  readonly bias: Float32Array;
  hasBias: boolean;
}

function openLayer(node: OnnxNode, tensors: ReadonlyMap<string, Initializer>): OpenLayer {
  const weight = tensors.get(node.input[1] ?? '')!; // a pair's weights are initializers
  const dims = dimsOf(weight);
  const { count } = outputLayout(node, dims);
  return {
    node,
    dims,
    weights: readFloats(weight),
    bias: biasOf(node, tensors, count),
    hasBias: (node.input[2] ?? '') !== '',
  };
}

/** Takes in what no longer comes from the first layer of a pair. */
function absorb(layer: OpenLayer, shifts: readonly number[]): void {
  const { node, dims, weights, bias } = layer;
  const [outputs, inputs] = [outputLayout(node, dims), inputLayout(node, dims)];
  const sums = Float64Array.from(bias);
  for (let i = 0; i < weights.length; i += 1) {
    sums[channelAt(outputs, i)]! += weights[i]! * shifts[channelAt(inputs, i)]!; // one a channel
  }
  bias.set(sums);
  layer.hasBias = true;
}

function divideInputs({ node, dims, weights }: OpenLayer, scales: readonly number[]): void {
  eachStretch(weights.length, inputLayout(node, dims), (start, end, channel) => {
    const scale = scales[channel]!; // one a channel
    for (let i = start; i < end; i += 1) weights[i]! /= scale; // inside the weights
  });
}

function scaleOutputs(layer: OpenLayer, { scales, shifts }: ChannelChange): void {
  const { node, dims, weights, bias } = layer;
  eachStretch(weights.length, outputLayout(node, dims), (start, end, channel) => {
    const scale = scales[channel]!; // one a channel
    for (let i = start; i < end; i += 1) weights[i]! *= scale; // inside the weights
  });
  for (const [c, scale] of scales.entries()) bias[c] = (bias[c]! - (shifts?.[c] ?? 0)) * scale;
  if (shifts !== undefined) layer.hasBias = true;
}

function biasOf(
  node: OnnxNode,
  tensors: ReadonlyMap<string, Initializer>,
  count: number,
): Float32Array {
  const bias = tensors.get(node.input[2] ?? '');
  if (bias === undefined) return new Float32Array(count);
  const values = readFloats(bias);
  return values.length === count ? values : new Float32Array(count).fill(values[0] ?? 0);
}
