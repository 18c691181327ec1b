import { makeTensor } from '../../onnx/build.ts';
import { nameMaker, pruneInitializers } from '../../onnx/graph-edit.ts';
import type { Initializer, OnnxGraph, OnnxNode } from '../../onnx/model.ts';
import { dimsOf, readFloats } from '../../onnx/tensor-data.ts';
import { OnnxError } from '../../diagnostics/errors.ts';
import { channelAt, eachStretch, inputLayout, outputLayout } from './channel-layout.ts';
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
 * Carries `changes` out, in place: the first layer's weights and bias times the scale, the second
 * layer's weights divided by it (Nagel et al. 2019, section 4.1), and shifts moved from the first
 * bias into the second (section 4.1.3). @throws OnnxError `quantization/other-model`
 */
export function applyEqualization(graph: OnnxGraph, changes: readonly ChannelChange[]): void {
  if (changes.length === 0) return;
  const pairs = new Map(findEqualizationPairs(graph).map((pair) => [pair.tensor, pair]));
  const tensors = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  // Most layers are the second of one pair and the first of another: copied once, written once.
  const layers = new Map<OnnxNode, OpenLayer>();
  const layerOf = (node: OnnxNode): OpenLayer => {
    const layer = layers.get(node) ?? openLayer(node, tensors);
    layers.set(node, layer);
    return layer;
  };
  for (const change of changes) {
    const pair = pairs.get(change.tensor);
    if (pair?.channelCount !== change.scales.length) throw otherModel(change.tensor);
    applyToPair(layerOf(pair.first), layerOf(pair.second), change);
  }
  const newName = nameMaker(graph);
  for (const [node, { dims, weights, bias, hasBias }] of layers) {
    const write = (input: 1 | 2, sizes: readonly number[], data: Float32Array): void => {
      const name = newName(`${node.input[1] ?? ''}_equalized`);
      graph.initializer.push(makeTensor(name, sizes, data));
      while (node.input.length < input) node.input.push('');
      node.input[input] = name;
    };
    if (hasBias) write(2, [bias.length], bias);
    write(1, dims, weights);
  }
  pruneInitializers(graph);
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

function applyToPair(first: OpenLayer, second: OpenLayer, { scales, shifts }: ChannelChange): void {
  const outputs = outputLayout(first.node, first.dims);
  const { weights: scaled } = first;
  // There is a scale, and where there are shifts a shift, a channel.
  eachStretch(scaled.length, outputs, (start, end, channel) => {
    const scale = scales[channel]!;
    for (let i = start; i < end; i += 1) scaled[i]! *= scale; // inside the weights
  });
  const { weights: divided } = second;
  const inputs = inputLayout(second.node, second.dims);
  if (shifts !== undefined) {
    const layout = outputLayout(second.node, second.dims);
    const sums = Float64Array.from(second.bias);
    for (let i = 0; i < divided.length; i += 1) {
      sums[channelAt(layout, i)]! += divided[i]! * shifts[channelAt(inputs, i)]!;
    }
    second.bias.set(sums);
    second.hasBias = true;
    first.hasBias = true;
  }
  eachStretch(divided.length, inputs, (start, end, channel) => {
    const scale = scales[channel]!;
    for (let i = start; i < end; i += 1) divided[i]! /= scale; // inside the weights
  });
  for (const [c, scale] of scales.entries()) {
    first.bias[c] = (first.bias[c]! - (shifts?.[c] ?? 0)) * scale;
  }
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

function otherModel(tensor: string): OnnxError {
  return new OnnxError({
    code: 'quantization/other-model',
    message: `the calibration table equalizes tensor "${tensor}", which is not between two layers of this model`,
    hint: 'calibrate the same model that is quantized',
  });
}
