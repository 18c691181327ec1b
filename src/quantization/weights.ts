import { roundHalfToEven, roundWithin, saturate } from '../numeric/rounding.ts';
import type { WeightRange } from './choices.ts';
import {
  highestBeside,
  LARGEST_MEETING_SUM,
  lowestBeside,
  meetingPairs,
  type CodeBounds,
} from './code-bounds.ts';

export type Granularity = 'per-channel' | 'per-tensor';

export interface WeightScheme extends CodeBounds {
  readonly granularity: Granularity;
  readonly range: WeightRange;
}

/** A weight tensor in symmetric int8: zero points are all 0. */
export interface QuantizedWeight {
  readonly codes: Int8Array;
  /** float32 values; one a channel, or one for the tensor. */
  readonly scales: Float32Array;
  /** Signal to quantization noise of the tensor in dB; Infinity when nothing was lost. */
  readonly sqnrDb: number;
}

export interface WeightInput {
  readonly values: Float32Array;
  readonly channelCount: number;
  /** Where the output channels stand: 0 for [M, …], 1 for [K, N]. */
  readonly axis: 0 | 1;
  /** Bias per channel; scales are raised until it fits. */
  readonly bias: Float32Array | undefined;
  /** Scale of the layer's input. */
  readonly inputScale: number;
}

/**
 * Largest magnitude of a quantized bias. Half of int32's range, so that bias plus the sum of
 * products (at most 255 * 127 a weight, 33,000 weights) cannot wrap, and a correction still fits
 * (onnxruntime#21000 is what happens otherwise).
 */
const BIAS_LIMIT = 2 ** 30;

/** Scales of a weight tensor: one a channel, or one for the tensor. */
export function weightScales(input: WeightInput, scheme: WeightScheme): Float32Array {
  const { values } = input;
  const channels = channelGroups(values.length, input);
  // Channels that share a scale.
  const sharing = scheme.granularity === 'per-channel' ? channels.map((one) => [one]) : [channels];
  const pairs = meetingPairs(scheme.meeting);
  const scales = Float32Array.from(sharing, (groups) => {
    const largest = smallestScale(values, groups, { limit: scheme.limit, pairs });
    return scheme.range === 'mse' ? leastErrorScale(values, groups, largest, scheme) : largest;
  });
  raiseForBias(scales, input);
  return scales;
}

/** The weights in the nearest codes that the bounds allow, with given scales (see `weightScales`). */
export function nearestWeight(
  { values, ...channels }: Pick<WeightInput, 'values' | 'channelCount' | 'axis'>,
  scales: Float32Array,
  bounds: CodeBounds,
): QuantizedWeight {
  const codes = new Int8Array(values.length);
  for (const [c, group] of channelGroups(values.length, channels).entries()) {
    const scale = scales[scales.length === 1 ? 0 : c]!; // one, or one a channel
    quantizeGroup(codes, values, group, { ...bounds, scale });
  }
  return { codes, scales, sqnrDb: weightSqnrDb(values, { codes, scales }, channels) };
}

/** Nearest codes, the second of two that meet as near as the first allows. */
function quantizeGroup(
  codes: Int8Array,
  values: Float32Array,
  { first, step, end }: Group,
  { scale, limit, meeting }: CodeBounds & { readonly scale: number },
): void {
  for (let i = first, k = 0; i < end; i += step, k += 1) {
    const other = meeting?.[k] ?? -1;
    // Of two that meet the first is decided by now, or not yet and then without a say.
    const met = other < 0 || other > k ? 0 : codes[first + other * step]!;
    const code = Math.fround(values[i]! / scale); // end is at most the length
    codes[i] = roundWithin(code, lowestBeside(met, limit), highestBeside(met, limit));
  }
}

/** Signal to quantization noise of a weight tensor in dB; Infinity when nothing was lost. */
export function weightSqnrDb(
  values: Float32Array,
  { codes, scales }: Pick<QuantizedWeight, 'codes' | 'scales'>,
  channels: Pick<WeightInput, 'channelCount' | 'axis'>,
): number {
  let signal = 0;
  let noise = 0;
  for (const [c, { first, step, end }] of channelGroups(values.length, channels).entries()) {
    const scale = scales[scales.length === 1 ? 0 : c]!; // one, or one a channel
    for (let i = first; i < end; i += step) {
      const value = values[i]!; // i < length of both
      const error = value - codes[i]! * scale;
      signal += value * value;
      noise += error * error;
    }
  }
  return noise === 0 ? Infinity : 10 * Math.log10(signal / noise);
}

/** The float32 weights that the codes stand for. */
export function dequantizeWeight(
  { codes, scales }: QuantizedWeight,
  channelCount: number,
  axis: 0 | 1,
): Float32Array {
  const values = new Float32Array(codes.length);
  for (const [c, group] of channelGroups(codes.length, { channelCount, axis }).entries()) {
    const scale = scales[scales.length === 1 ? 0 : c]!; // one, or one a channel
    for (let i = group.first; i < group.end; i += group.step) values[i] = codes[i]! * scale;
  }
  return values;
}

/** int32 bias with scale input scale * weight scale (ONNX QLinearConv, opset 10). */
export function quantizeBias(
  bias: Float32Array,
  scales: Float32Array,
  inputScale: number,
): { readonly codes: Int32Array; readonly scales: Float32Array } {
  const biasScales = scales.map((scale) => Math.fround(inputScale * scale));
  const codes = Int32Array.from(bias, (value, c) => {
    const scale = biasScales[scales.length === 1 ? 0 : c]!; // one scale, or one a channel
    return saturate(roundHalfToEven(value / scale), -(2 ** 31 - 1), 2 ** 31 - 1);
  });
  return { codes, scales: biasScales };
}

/** Indices first, first + step, … below end of a tensor. */
interface Group {
  readonly first: number;
  readonly step: number;
  readonly end: number;
}

/** Where the weights of each output channel stand: [M, inner] for axis 0, [K, N] for axis 1. */
function channelGroups(
  length: number,
  { channelCount, axis }: Pick<WeightInput, 'channelCount' | 'axis'>,
): Group[] {
  const size = length / channelCount;
  return Array.from({ length: channelCount }, (_, c) =>
    axis === 0
      ? { first: c * size, step: 1, end: (c + 1) * size }
      : { first: c, step: channelCount, end: length },
  );
}

/** The least scale with which no weight is limited; `pairs` as `meetingPairs` gives them. */
function smallestScale(
  values: Float32Array,
  groups: readonly Group[],
  { limit, pairs }: { readonly limit: number; readonly pairs: Int32Array },
): number {
  let largest = 0;
  let largestSum = 0;
  for (const { first, step, end } of groups) {
    for (let i = first; i < end; i += step) {
      const magnitude = Math.abs(values[i]!); // end is at most the length
      if (magnitude > largest) largest = magnitude;
    }
    for (let p = 0; p < pairs.length; p += 2) {
      const a = values[first + pairs[p]! * step]!; // in the row, as the next
      const b = values[first + pairs[p + 1]! * step]!;
      const sum = a * b > 0 ? Math.abs(a + b) : 0;
      if (sum > largestSum) largestSum = sum;
    }
  }
  return Math.max(largest / limit, largestSum / LARGEST_MEETING_SUM);
}

/** A channel without weights has no scale of its own; 1 serves unless the bias wants more or less. */
function raiseForBias(scales: Float32Array, { bias, inputScale }: WeightInput): void {
  for (let group = 0; group < scales.length; group += 1) {
    const largest =
      scales.length === 1
        ? (bias ?? new Float32Array()).reduce((top, value) => Math.max(top, Math.abs(value)), 0)
        : Math.abs(bias?.[group] ?? 0);
    const least = Math.fround((largest / inputScale / BIAS_LIMIT) * (1 + 1e-6));
    if (scales[group]! < least) scales[group] = least;
    if (scales[group]! < SMALLEST_SCALE) scales[group] = 1;
  }
}

/** Below this a float32 scale times an input scale loses precision (subnormal). */
const SMALLEST_SCALE = 2 ** -100;

/** Fractions of that scale tried; below a half rounding never wins at 8 bits. */
const SHRINK_STEPS = Array.from({ length: 41 }, (_, step) => 1 - step / 80);

/** The scale with the least squared error among the steps from `largest` down; the first of equals. */
function leastErrorScale(
  values: Float32Array,
  groups: readonly Group[],
  largest: number,
  bounds: CodeBounds,
): number {
  let best = largest;
  let least = Infinity;
  const codes = new Int8Array(values.length);
  for (const fraction of SHRINK_STEPS) {
    const scale = Math.fround(largest * fraction);
    let error = 0;
    for (const group of groups) {
      quantizeGroup(codes, values, group, { ...bounds, scale });
      for (let i = group.first; i < group.end; i += group.step) {
        error += (values[i]! - codes[i]! * scale) ** 2; // both are as long
      }
    }
    if (error >= least) continue;
    least = error;
    best = scale;
  }
  return best;
}
