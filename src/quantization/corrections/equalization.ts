import { wrapTensor } from '../../onnx/build.ts';
import { nameMaker, pruneInitializers } from '../../onnx/graph-edit.ts';
import type { Initializer, OnnxGraph, OnnxNode } from '../../onnx/model.ts';
import {
  dimsOf,
  elementCount,
  moveWeightsTogether,
  readFloats,
  viewFloats,
} from '../../onnx/tensor-data.ts';
import { inputLayout, outputLayout, type ChannelLayout } from './channel-layout.ts';
import { otherModel, propagateScales } from './channel-scales.ts';
import { findEqualizationPairs } from './equalization-pairs.ts';
import { scaleGatesBack } from './scale-gates-back.ts';

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
 * weights of all layers that read it, through Relu, HardSwish, gates, pools, Add and Concat, divided by it (Nagel et al.
 * 2019, section 4.1), and shifts moved from the first bias of a pair into the second (section 4.1.3).
 * No weight is a view of what the model was read from then.
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
  const layers = graph.node.flatMap((node): EqualizedLayer | [] => {
    const made = wanted.get(node.output[0] ?? '');
    const read = scales.get(node.input[0] ?? '');
    const shifts = wanted.get(pairs.get(node)?.tensor ?? '')?.shifts;
    // Only layers make or read scales that need weights changed.
    const isChanged = made !== undefined || read !== undefined || shifts !== undefined;
    return isLayer(node) && isChanged ? { node, made, read, shifts } : [];
  });
  scaleGatesBack(graph, scales);
  const weightOf = (node: OnnxNode): Initializer => tensors.get(node.input[1] ?? '')!; // an initializer of each
  const room = new Float32Array(
    layers.reduce((sum, { node }) => sum + elementCount(weightOf(node)), 0),
  );
  const newName = nameMaker(graph);
  let start = 0;
  for (const layer of layers) {
    const { node } = layer;
    const weight = weightOf(node);
    const weights = room.subarray(start, start + elementCount(weight));
    start += weights.length;
    const write = (input: 1 | 2, sizes: readonly number[], data: Float32Array): void => {
      const name = newName(`${node.input[1] ?? ''}_equalized`);
      graph.initializer.push(wrapTensor(name, sizes, data));
      while (node.input.length < input) node.input.push('');
      node.input[input] = name;
    };
    const bias = equalizeLayer(layer, weight, tensors, weights);
    if (bias !== null) write(2, [bias.length], bias);
    write(1, dimsOf(weight), weights);
  }
  pruneInitializers(graph);
  // None may keep the buffer alive that the model was read from.
  moveWeightsTogether(graph.initializer.filter(({ rawData }) => rawData.buffer !== room.buffer));
}

function isLayer({ opType }: OnnxNode): boolean {
  return opType === 'Conv' || opType === 'Gemm';
}

interface EqualizedLayer {
  readonly node: OnnxNode;
  /** Of its output channels. */
  readonly made: ChannelChange | undefined;
  /** That its input channels were multiplied by. */
  readonly read: readonly number[] | undefined;
  /** That its input channels lost. */
  readonly shifts: readonly number[] | undefined;
}

/** Writes the layer's weights to `target` and gives its bias [M]; null where it has none and needs none. */
function equalizeLayer(
  { node, made, read, shifts }: EqualizedLayer,
  weight: Initializer,
  tensors: ReadonlyMap<string, Initializer>,
  target: Float32Array,
): Float32Array | null {
  const dims = dimsOf(weight);
  const [outputs, inputs] = [outputLayout(node, dims), inputLayout(node, dims)];
  const bias = biasOf(node, tensors, outputs.count);
  // Takes in what no longer comes from the first layer of a pair.
  const sums = Float64Array.from(bias);
  changeWeights(target, viewFloats(weight), {
    ...{ inputs, outputs, sums },
    divisors: numbersOf(inputs, read, 1),
    shifts: numbersOf(inputs, shifts, 0),
    factors: numbersOf(outputs, made?.scales, 1),
  });
  bias.set(sums);
  for (const [c, scale] of (made?.scales ?? []).entries()) {
    bias[c] = (bias[c]! - (made?.shifts?.[c] ?? 0)) * scale; // one a channel
  }
  const hasBias = (node.input[2] ?? '') !== '';
  return hasBias || shifts !== undefined || made?.shifts !== undefined ? bias : null;
}

interface WeightChange {
  readonly inputs: ChannelLayout;
  readonly outputs: ChannelLayout;
  /** One an input channel each. */
  readonly divisors: Float64Array;
  readonly shifts: Float64Array;
  /** One an output channel. */
  readonly factors: Float64Array;
  /** One an output channel: each weight times the shift of its input is added. */
  readonly sums: Float64Array;
}

/** One a channel; `otherwise` where there are none. */
function numbersOf(
  { count }: ChannelLayout,
  values: readonly number[] | undefined,
  otherwise: number,
): Float64Array {
  return values === undefined ? new Float64Array(count).fill(otherwise) : Float64Array.from(values);
}

/**
 * target = source / divisors · factors, rounded to float32 after each. In one pass, with counters and names of
 * its own for all that it reads: 3 to 4 ns a value, where a pass each with functions takes 10 to 20.
 */
function changeWeights(
  target: Float32Array,
  source: Readonly<Float32Array>,
  { inputs, outputs, divisors, shifts, factors, sums }: WeightChange,
): void {
  const { inner: inputInner, count: inputCount } = inputs;
  const { inner: outputInner, count: outputCount } = outputs;
  let [input, inputLeft] = [0, inputInner];
  let [output, outputLeft] = [0, outputInner];
  for (let i = 0; i < source.length; i += 1) {
    const weight = source[i]!;
    // One a channel.
    target[i] = Math.fround(weight / divisors[input]!) * factors[output]!;
    sums[output]! += weight * shifts[input]!;
    inputLeft -= 1;
    if (inputLeft === 0) {
      inputLeft = inputInner;
      input = input + 1 === inputCount ? 0 : input + 1;
    }
    outputLeft -= 1;
    if (outputLeft === 0) {
      outputLeft = outputInner;
      output = output + 1 === outputCount ? 0 : output + 1;
    }
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
