import type { OnnxGraph, OnnxNode } from '../../onnx/model.ts';
import { dimsOf, viewFloats } from '../../onnx/tensor-data.ts';
import type { ChannelChange, ChannelRanges } from './equalization.ts';
import type { ChannelClasses } from './channel-classes.ts';
import { channelAt, inputLayout, outputLayout, type ChannelLayout } from './channel-layout.ts';
import type { EqualizationPair } from './equalization-pairs.ts';
import type { Equalization, EqualizationChoice, Granularity } from '../choices.ts';

/**
 * Fewer images say too little of the range of each channel, and every channel that goes further is
 * clipped, as it would not be in the range of the whole tensor. Measured on a MobileNetV2 (dB of logits
 * with and without, means of two draws): 21.2 and 28.2 for 1 image, 27.9 and 30.2 for 4, 30.6 and 31.0
 * for 16, 31.3 and 30.5 for 32, 31.7 and 30.8 for 64.
 */
const LEAST_IMAGE_COUNT = 64;

/**
 * For `auto` the scaling of activations' channels, where there are images enough to know their ranges; where
 * there are not, `unsure`. Not with one scale for all weights of a layer, which cannot follow rows whose
 * outputs were brought to one range: it costs 6 dB of a network with depthwise convolutions.
 */
export function resolveEqualization(
  choice: EqualizationChoice,
  imageCount: number,
  granularity?: Granularity,
): Equalization | 'unsure' {
  if (choice !== 'auto') return choice;
  if (granularity === 'per-tensor') return 'none';
  return imageCount < LEAST_IMAGE_COUNT ? 'unsure' : 'activations';
}

export interface EqualizationTargets {
  readonly graph: OnnxGraph;
  readonly pairs: readonly EqualizationPair[];
  readonly classes: ChannelClasses;
  /** By tensor, in the float model: of the activation of each pair and of those of the classes. */
  readonly ranges: ReadonlyMap<string, ChannelRanges>;
}

/**
 * Scales of layers' output channels, and shifts for pairs. No channel that reaches the bound of its
 * Clip is scaled, and none so much that it would reach it. `margin` is how much further than the
 * ranges, as a factor, other images are taken to reach.
 */
export function chooseEqualization(
  targets: EqualizationTargets,
  { method, margin }: { readonly method: Exclude<Equalization, 'none'>; readonly margin: number },
): ChannelChange[] {
  const { graph, pairs, ranges } = targets;
  const scales =
    method === 'cross-layer'
      ? crossLayerScales(targets, margin)
      : activationScales(targets, margin);
  const shifts = new Map(
    pairs.flatMap((pair) => {
      const found = absorbableShifts(pair, ranges.get(pair.activation)!, margin); // observed
      return found === undefined ? [] : [[pair.tensor, found] as const];
    }),
  );
  return graph.node.flatMap(({ output: [tensor = ''] }): ChannelChange[] => {
    const scale = scales.get(tensor);
    const shift = shifts.get(tensor);
    const isScaled = scale?.some((value) => value !== 1) === true;
    if (!isScaled && shift === undefined) return [];
    const values = scale === undefined ? shift!.map(() => 1) : [...scale]; // one of both is there
    return [{ tensor, scales: values, ...(shift === undefined ? {} : { shifts: shift }) }];
  });
}

/** Channels that are hardly used are not blown up without limit. */
const LARGEST_SCALE = 64;

/** The most that a channel may be scaled by; 1 where the Clip bites already. */
function scaleLimit(high: number, max: number, margin: number): number {
  if (high === Infinity) return Infinity;
  return max * margin >= high ? 1 : high / (Math.max(max, 0) * margin);
}

/** Whether the Clip never acts on the channel, so that scaling it down changes nothing either. */
function isScalable(high: number, max: number, margin: number): boolean {
  return high === Infinity || max * margin < high;
}

/**
 * s = √(r2 / r1) for the largest magnitudes r1 of a channel's weights in the first layer and r2 in
 * the second (Nagel et al. 2019, equation 11), repeated over all pairs until nothing moves.
 */
function crossLayerScales(
  { graph, pairs, ranges }: EqualizationTargets,
  margin: number,
): Map<string, Float64Array> {
  const weights = layerWeights(graph, pairs);
  const scales = pairs.map(({ channelCount }) => new Float64Array(channelCount).fill(1));
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    let largestStep = 0;
    for (const [i, pair] of pairs.entries()) {
      const first = weights.get(pair.first)!; // one for each node of a pair
      const second = weights.get(pair.second)!;
      const firstMagnitudes = magnitudes(first.values, first.outputs);
      const secondMagnitudes = magnitudes(second.values, second.inputs);
      const steps = firstMagnitudes.map((magnitude, c) => {
        const other = secondMagnitudes[c]!; // both are one a channel, as the scales
        const max = ranges.get(pair.activation)!.max[c]!; // observed
        if (magnitude === 0 || other === 0 || !isScalable(pair.high, max, margin)) return 1;
        const known = scales[i]![c]!;
        const wanted = known * Math.sqrt(other / magnitude);
        const limit = Math.min(scaleLimit(pair.high, max, margin), LARGEST_SCALE);
        return Math.min(Math.max(wanted, 1 / LARGEST_SCALE), limit) / known;
      });
      for (const [c, step] of steps.entries()) {
        scales[i]![c]! *= step;
        largestStep = Math.max(largestStep, Math.abs(Math.log(step)));
      }
      for (let k = 0; k < first.values.length; k += 1)
        first.values[k]! *= steps[channelAt(first.outputs, k)]!;
      for (let k = 0; k < second.values.length; k += 1) {
        second.values[k]! /= steps[channelAt(second.inputs, k)]!;
      }
    }
    if (largestStep < 1e-3) break;
  }
  return new Map(pairs.map(({ tensor }, i) => [tensor, scales[i]!])); // one each
}

const MAX_ROUNDS = 20;

interface LayerWeights {
  readonly values: Float64Array;
  readonly outputs: ChannelLayout;
  readonly inputs: ChannelLayout;
}

function layerWeights(
  graph: OnnxGraph,
  pairs: readonly EqualizationPair[],
): Map<OnnxNode, LayerWeights> {
  const tensors = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  return new Map(
    [...new Set(pairs.flatMap(({ first, second }) => [first, second]))].map((node) => {
      const tensor = tensors.get(node.input[1] ?? '')!; // a pair's weights are initializers
      const dims = dimsOf(tensor);
      const values = Float64Array.from(viewFloats(tensor));
      return [node, { values, outputs: outputLayout(node, dims), inputs: inputLayout(node, dims) }];
    }),
  );
}

function magnitudes(values: Float64Array, layout: ChannelLayout): Float64Array {
  const largest = new Float64Array(layout.count);
  for (let i = 0; i < values.length; i += 1) {
    const channel = channelAt(layout, i); // below the count
    const magnitude = Math.abs(values[i]!);
    if (magnitude > largest[channel]!) largest[channel] = magnitude;
  }
  return largest;
}

/**
 * Scales that bring every channel to the range of the widest one, so that one scale for the tensor
 * serves them all: s = R / r, or √(R / r) where a layer mixes channels in one scale and its weights pay
 * for what the activation wins (SmoothQuant, Xiao et al. 2022, equation 4 with α = 0.5). Where several
 * activations share their channels, R / r is the geometric mean of theirs.
 */
function activationScales(
  { graph, classes, ranges }: EqualizationTargets,
  margin: number,
): Map<string, Float64Array> {
  const known = new Map<number, ClassNeed>();
  for (const tensor of classes.activations) {
    const range = ranges.get(tensor);
    if (range === undefined) continue;
    const least = classes.leastOf(tensor);
    // One a channel.
    const reach = range.max.map((value, c) => Math.max(value, -Math.max(range.min[c]!, least)));
    const widest = reach.reduce((most, value) => Math.max(most, value), 0);
    const bound = classes.boundOf(tensor);
    for (const [c, channel] of classes.tensors.get(tensor)!.entries()) {
      const [value, max] = [reach[c]!, range.max[c]!]; // one a channel
      const need = known.get(channel) ?? { logSum: 0, count: 0, limit: LARGEST_SCALE };
      const toWidest = value === 0 ? 1 : Math.max(1, widest / (value * margin));
      // Of a channel that was never seen to move nobody knows how near it may come to a bound.
      const isBounded = bound < Infinity && (value === 0 || !isScalable(bound, max, margin));
      // What a HardSwish cuts off must not become the widest part of the range.
      const most = least === -Infinity ? scaleLimit(bound, max, margin) : toWidest;
      const limit = isBounded ? 1 : Math.min(need.limit, most);
      known.set(channel, {
        logSum: need.logSum + Math.log(toWidest),
        count: need.count + (value === 0 ? 0 : 1),
        limit,
      });
    }
  }
  const scaleOf = (channel: number): number => {
    const need = known.get(channel);
    if (need === undefined || need.count === 0 || classes.isFixed(channel)) return 1;
    const exponent = classes.isMixed(channel) ? 0.5 : 1;
    return Math.min(Math.exp((need.logSum / need.count) * exponent), need.limit);
  };
  // A convolution in place of a sum for each HardSwish whose channels are scaled.
  const notWorthIt = new Set(
    [...classes.tensors].flatMap(([tensor, channels]) =>
      classes.leastOf(tensor) > -Infinity && meanGainDb(channels, scaleOf) < LEAST_GATED_GAIN_DB
        ? [...channels]
        : [],
    ),
  );
  const chosenScale = (channel: number): number => (notWorthIt.has(channel) ? 1 : scaleOf(channel));
  return new Map(
    graph.node.flatMap(({ output: [tensor = ''] }) => {
      const channels = classes.layerOutputs.has(tensor) ? classes.tensors.get(tensor) : undefined;
      return channels === undefined
        ? []
        : [[tensor, Float64Array.from(channels, chosenScale)] as const];
    }),
  );
}

/**
 * Below this the convolution costs more than the scales bring. A pretrained PP-LCNet is at 14.9 dB of logits
 * without them, at 30.1 with this (15 of its 27 HardSwish scaled), at 30.7 with all of them scaled and 18 %
 * slower in place of 12 %; with 12 it is at 15.6. A MobileNetV3 of random weights wins nothing by any.
 */
const LEAST_GATED_GAIN_DB = 8;

/** What a channel's step becomes finer by, on average. */
function meanGainDb(channels: Int32Array, scaleOf: (channel: number) => number): number {
  const sum = channels.reduce((total, channel) => total + 20 * Math.log10(scaleOf(channel)), 0);
  return sum / channels.length;
}

/** What the activations of a class ask for. */
interface ClassNeed {
  /** Of R / r over so many activations. */
  readonly logSum: number;
  readonly count: number;
  readonly limit: number;
}

/** Below this share of a channel's range a shift is not worth its change of the bias. */
const LEAST_SHIFT_FRACTION = 0.01;

/**
 * What every value of a channel exceeds, where a Relu stands between (high-bias absorption, from what
 * was seen rather than from batch norm's statistics): Relu(x) - c = Relu(x - c) while Relu(x) >= c.
 */
function absorbableShifts(
  pair: EqualizationPair,
  range: ChannelRanges,
  margin: number,
): number[] | undefined {
  if (!pair.absorbs || !pair.isRectified) return undefined;
  const shifts = Array.from(range.min, (min, c) => {
    const max = range.max[c]!; // one a channel
    // A margin below: other images may go lower than these.
    const shift = min - (margin - 1) * (max - min);
    return isScalable(pair.high, max, margin) && shift > LEAST_SHIFT_FRACTION * max ? shift : 0;
  });
  return shifts.some((shift) => shift !== 0) ? shifts : undefined;
}
