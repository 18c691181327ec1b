import { integerOf } from '../../onnx/attributes.ts';
import { makeTensor } from '../../onnx/build.ts';
import { nameMaker, pruneInitializers } from '../../onnx/graph-edit.ts';
import type { Initializer, OnnxGraph, OnnxNode } from '../../onnx/model.ts';
import { dimsOf, readFloats } from '../../onnx/tensor-data.ts';
import { OnnxError } from '../../diagnostics/errors.ts';
import { findEqualizationPairs, type EqualizationPair } from './equalization-pairs.ts';

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
  const newName = nameMaker(graph);
  for (const change of changes) {
    const pair = pairs.get(change.tensor);
    if (pair?.channelCount !== change.scales.length) throw otherModel(change.tensor);
    const tensors = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
    const write = (node: OnnxNode, input: 1 | 2, dims: readonly number[], data: Float32Array) => {
      const name = newName(`${node.input[1] ?? ''}_equalized`);
      graph.initializer.push(makeTensor(name, dims, data));
      while (node.input.length < input) node.input.push('');
      node.input[input] = name;
    };
    applyToPair(pair, change, tensors, write);
  }
  pruneInitializers(graph);
}

type WriteTensor = (
  node: OnnxNode,
  input: 1 | 2,
  dims: readonly number[],
  data: Float32Array,
) => void;

function applyToPair(
  { first, second, channelCount }: EqualizationPair,
  { scales, shifts }: ChannelChange,
  tensors: ReadonlyMap<string, Initializer>,
  write: WriteTensor,
): void {
  const firstWeight = tensors.get(first.input[1] ?? '')!; // a pair's weights are initializers
  const secondWeight = tensors.get(second.input[1] ?? '')!;
  const scaled = readFloats(firstWeight);
  const outputOf = outputChannel(first, dimsOf(firstWeight));
  for (let i = 0; i < scaled.length; i += 1) scaled[i]! *= scales[outputOf(i)]!; // one a channel
  const firstBias = biasOf(first, tensors, channelCount);
  const divided = readFloats(secondWeight);
  const inputOf = inputChannel(second, dimsOf(secondWeight));
  if (shifts !== undefined) {
    const secondOutputOf = outputChannel(second, dimsOf(secondWeight));
    const secondBias = Float64Array.from(
      biasOf(second, tensors, outputCount(second, dimsOf(secondWeight))),
    );
    for (let i = 0; i < divided.length; i += 1) {
      secondBias[secondOutputOf(i)]! += divided[i]! * shifts[inputOf(i)]!; // one a channel
    }
    write(second, 2, [secondBias.length], Float32Array.from(secondBias));
  }
  for (let i = 0; i < divided.length; i += 1) divided[i]! /= scales[inputOf(i)]!;
  const bias = firstBias.map((value, c) => (value - (shifts?.[c] ?? 0)) * scales[c]!);
  write(first, 1, dimsOf(firstWeight), scaled);
  if ((first.input[2] ?? '') !== '' || shifts !== undefined) write(first, 2, [channelCount], bias);
  write(second, 1, dimsOf(secondWeight), divided);
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

function outputCount(node: OnnxNode, dims: readonly number[]): number {
  return dims[node.opType === 'Conv' || integerOf(node, 'transB', 0) === 1 ? 0 : 1] ?? 1;
}

/** Output channel of flat index i: [M, …], or [K, N] of a Gemm without transB. */
export function outputChannel(node: OnnxNode, dims: readonly number[]): (i: number) => number {
  const inner = dims.slice(1).reduce((product, dim) => product * dim, 1);
  const isFirstAxis = node.opType === 'Conv' || integerOf(node, 'transB', 0) === 1;
  return isFirstAxis ? (i) => Math.floor(i / inner) : (i) => i % inner;
}

/** Input channel of flat index i: [M, C, kH, kW], depthwise [C, 1, kH, kW], [N, K] or [K, N]. */
export function inputChannel(node: OnnxNode, dims: readonly number[]): (i: number) => number {
  const inner = dims.slice(1).reduce((product, dim) => product * dim, 1);
  if (node.opType === 'Gemm') {
    return integerOf(node, 'transB', 0) === 1 ? (i) => i % inner : (i) => Math.floor(i / inner);
  }
  const area = (dims[2] ?? 1) * (dims[3] ?? 1);
  const group = integerOf(node, 'group', 1);
  if (group === 1) return (i) => Math.floor(i / area) % (dims[1] ?? 1);
  // Depthwise: output channel m reads channel m / multiplier.
  const multiplier = (dims[0] ?? 1) / group;
  return (i) => Math.floor(Math.floor(i / inner) / multiplier);
}

function otherModel(tensor: string): OnnxError {
  return new OnnxError({
    code: 'quantization/other-model',
    message: `the calibration table equalizes tensor "${tensor}", which is not between two layers of this model`,
    hint: 'calibrate the same model that is quantized',
  });
}
