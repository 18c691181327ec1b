import { roundHalfToEven, roundWithin, saturate } from '../numeric/rounding.ts';
import { asRows, eachRow, fromRows, type RowLayout } from './channel-rows.ts';
import type { Granularity, WeightRange } from './choices.ts';
import {
  highestBeside,
  LARGEST_MEETING_SUM,
  lowestBeside,
  meetingPairs,
  type CodeBounds,
} from './code-bounds.ts';

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

export interface WeightInput extends RowLayout {
  readonly values: Float32Array;
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
  const rows = eachRow(asRows(input.values, input), input.channelCount);
  // Channels that share a scale.
  const sharing = scheme.granularity === 'per-channel' ? rows.map((row) => [row]) : [rows];
  const bounds = rowBounds(scheme);
  const scales = Float32Array.from(sharing, (group) => {
    const largest = group.reduce((most, row) => Math.max(most, smallestScale(row, bounds)), 0);
    return scheme.range === 'mse' ? leastErrorScale(group, largest, bounds) : largest;
  });
  raiseForBias(scales, input);
  return scales;
}

/** The weights in the nearest codes that the bounds allow, with given scales (see `weightScales`). */
export function nearestWeight(
  { values, channelCount, axis }: Pick<WeightInput, 'values'> & RowLayout,
  scales: Float32Array,
  codeBounds: CodeBounds,
): QuantizedWeight {
  const rows = asRows(values, { channelCount, axis });
  const codes = new Int8Array(rows.length);
  const codesOf = eachRow(codes, channelCount);
  const bounds = rowBounds(codeBounds);
  for (const [m, row] of eachRow(rows, channelCount).entries()) {
    roundRow(codesOf[m]!, row, scaleOf(scales, m), bounds); // as many
  }
  return weightOfRows({ codes, scales }, rows, { channelCount, axis });
}

/** The weight that codes [M, K] make, beside the float32 rows [M, K] that they stand for. */
export function weightOfRows(
  { codes, scales }: Pick<QuantizedWeight, 'codes' | 'scales'>,
  rows: Float32Array,
  layout: RowLayout,
): QuantizedWeight {
  const sqnrDb = rowsSqnrDb(rows, { codes, scales }, layout.channelCount);
  return { codes: fromRows(codes, layout), scales, sqnrDb };
}

/** The bounds of a row's codes; pairs as `meetingPairs` gives them. */
interface RowBounds {
  readonly limit: number;
  readonly pairs: Int32Array;
}

function rowBounds({ limit, meeting }: CodeBounds): RowBounds {
  return { limit, pairs: meetingPairs(meeting) };
}

/** One scale, or one a channel. */
function scaleOf(scales: Float32Array, channel: number): number {
  return scales[scales.length === 1 ? 0 : channel]!;
}

/** Nearest codes, the second of two that meet as near as the first allows. */
function roundRow(
  codes: Int8Array,
  row: Float32Array,
  scale: number,
  { limit, pairs }: RowBounds,
): void {
  for (let k = 0; k < row.length; k += 1) {
    codes[k] = roundWithin(Math.fround(row[k]! / scale), -limit, limit); // k < length
  }
  for (let p = 0; p < pairs.length; p += 2) {
    const met = codes[pairs[p]!]!; // in the row, as the next
    const second = pairs[p + 1]!;
    if (Math.abs(met + codes[second]!) <= LARGEST_MEETING_SUM) continue;
    const code = Math.fround(row[second]! / scale);
    codes[second] = roundWithin(code, lowestBeside(met, limit), highestBeside(met, limit));
  }
}

/** Signal to quantization noise of rows in dB; Infinity when nothing was lost. */
function rowsSqnrDb(
  rows: Float32Array,
  { codes, scales }: Pick<QuantizedWeight, 'codes' | 'scales'>,
  channelCount: number,
): number {
  const codesOf = eachRow(codes, channelCount);
  let signal = 0;
  let noise = 0;
  for (const [m, row] of eachRow(rows, channelCount).entries()) {
    const rowCodes = codesOf[m]!; // as many, and as long
    const scale = scaleOf(scales, m);
    for (let k = 0; k < row.length; k += 1) {
      const value = row[k]!;
      const error = value - rowCodes[k]! * scale;
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
  const layout = { channelCount, axis };
  const values = new Float32Array(codes.length);
  const rows = eachRow(values, channelCount);
  for (const [m, row] of eachRow(asRows(codes, layout), channelCount).entries()) {
    const scale = scaleOf(scales, m);
    rows[m]!.set(Float32Array.from(row, (code) => code * scale)); // as many
  }
  return fromRows(values, layout);
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

/** The least scale with which no weight of the row is limited. */
function smallestScale(row: Float32Array, { limit, pairs }: RowBounds): number {
  let largest = 0;
  // eslint-disable-next-line @typescript-eslint/prefer-for-of -- takes three times as long
  for (let k = 0; k < row.length; k += 1) {
    const magnitude = Math.abs(row[k]!); // k < length
    if (magnitude > largest) largest = magnitude;
  }
  let largestSum = 0;
  for (let p = 0; p < pairs.length; p += 2) {
    const a = row[pairs[p]!]!; // in the row, as the next
    const b = row[pairs[p + 1]!]!;
    const sum = Math.abs(a + b);
    if (sum > largestSum && a * b > 0) largestSum = sum; // signs last: nobody can foretell them
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
  rows: readonly Float32Array[],
  largest: number,
  bounds: RowBounds,
): number {
  let best = largest;
  let least = Infinity;
  const codes = new Int8Array(rows[0]?.length ?? 0); // rows are of one length
  for (const fraction of SHRINK_STEPS) {
    const scale = Math.fround(largest * fraction);
    let error = 0;
    for (const row of rows) {
      roundRow(codes, row, scale, bounds);
      for (let k = 0; k < row.length; k += 1) error += (row[k]! - codes[k]! * scale) ** 2; // k < length
    }
    if (error >= least) continue;
    least = error;
    best = scale;
  }
  return best;
}
