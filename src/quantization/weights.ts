import { roundHalfToEven, saturate } from '../numeric/rounding.ts';
import type { WeightRange } from './choices.ts';

export type Granularity = 'per-channel' | 'per-tensor';

export interface WeightScheme {
  readonly granularity: Granularity;
  readonly range: WeightRange;
  /** Largest magnitude of a code: 127, or 64 where two products must fit 16 bits. */
  readonly limit: number;
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

export function quantizeWeight(input: WeightInput, scheme: WeightScheme): QuantizedWeight {
  const { values, channelCount, axis } = input;
  const groupCount = scheme.granularity === 'per-channel' ? channelCount : 1;
  const channelOf = channelIndex(values.length, channelCount, axis);
  const groupOf = groupCount === 1 ? () => 0 : channelOf;
  const maxima = new Float64Array(groupCount);
  // Every index below lies inside its array: groupOf and channelOf stay under their counts.
  for (let i = 0; i < values.length; i += 1) {
    const group = groupOf(i);
    const magnitude = Math.abs(values[i]!);
    if (magnitude > maxima[group]!) maxima[group] = magnitude;
  }
  const scales = Float32Array.from(maxima, (maximum) => maximum / scheme.limit);
  if (scheme.range === 'mse') shrinkScales(values, scales, maxima, groupOf, scheme.limit);
  raiseForBias(scales, input);

  const codes = new Int8Array(values.length);
  for (let i = 0; i < values.length; i += 1) {
    const code = roundHalfToEven(Math.fround(values[i]! / scales[groupOf(i)]!));
    codes[i] = saturate(code, -scheme.limit, scheme.limit);
  }
  return { codes, scales, sqnrDb: weightSqnrDb(values, { codes, scales }, input) };
}

/** Signal to quantization noise of a weight tensor in dB; Infinity when nothing was lost. */
export function weightSqnrDb(
  values: Float32Array,
  { codes, scales }: Pick<QuantizedWeight, 'codes' | 'scales'>,
  { channelCount, axis }: Pick<WeightInput, 'channelCount' | 'axis'>,
): number {
  const channelOf = channelIndex(values.length, channelCount, axis);
  let signal = 0;
  let noise = 0;
  for (let i = 0; i < values.length; i += 1) {
    const scale = scales[scales.length === 1 ? 0 : channelOf(i)]!; // one, or one a channel
    const value = values[i]!; // i < length of both
    signal += value * value;
    noise += (value - codes[i]! * scale) ** 2;
  }
  return noise === 0 ? Infinity : 10 * Math.log10(signal / noise);
}

/** The float32 weights that the codes stand for. */
export function dequantizeWeight(
  { codes, scales }: QuantizedWeight,
  channelCount: number,
  axis: 0 | 1,
): Float32Array {
  const channelOf = channelIndex(codes.length, channelCount, axis);
  const single = scales.length === 1;
  return Float32Array.from(codes, (code, i) => code * scales[single ? 0 : channelOf(i)]!);
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

/** Output channel of flat index i: [M, inner] for axis 0, [K, N] for axis 1. */
function channelIndex(length: number, channelCount: number, axis: 0 | 1): (i: number) => number {
  const inner = length / channelCount;
  return axis === 0 ? (i) => Math.floor(i / inner) : (i) => i % channelCount;
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

/** Fractions of the largest magnitude tried as range; below a half rounding never wins at 8 bits. */
const SHRINK_STEPS = Array.from({ length: 41 }, (_, step) => 1 - step / 80);

/** Replaces each scale by the one with the least squared error among the steps. */
function shrinkScales(
  values: Float32Array,
  scales: Float32Array,
  maxima: Float64Array,
  groupOf: (i: number) => number,
  limit: number,
): void {
  const best = new Float64Array(scales.length).fill(Infinity);
  for (const step of SHRINK_STEPS) {
    const candidates = Float32Array.from(maxima, (maximum) => (maximum * step) / limit);
    const errors = new Float64Array(scales.length);
    for (let i = 0; i < values.length; i += 1) {
      const group = groupOf(i);
      const scale = candidates[group]!;
      const code = saturate(Math.round(values[i]! / scale), -limit, limit);
      errors[group] = errors[group]! + (values[i]! - code * scale) ** 2;
    }
    for (let group = 0; group < scales.length; group += 1) {
      if (errors[group]! >= best[group]!) continue;
      best[group] = errors[group]!;
      scales[group] = candidates[group]!;
    }
  }
}
