import { OnnxError } from '../../diagnostics/errors.ts';
import type { TensorRange } from '../parameters.ts';
import type { Observer, ObserverState } from './observer.ts';

/** Observes the smallest and largest value, of all and of each image. */
export function createMinMaxObserver(tensor: string): Observer {
  const ranges = createRangeRecorder(tensor);
  return {
    observe: (values, range) => void ranges.record(values, range),
    finish: () => ranges.finish(),
  };
}

export interface RangeRecorder {
  /** Takes an image's values, or their range, and returns the range of all seen so far. */
  record(values: Float32Array, range?: TensorRange): TensorRange;
  finish(): ObserverState;
}

export function createRangeRecorder(tensor: string): RangeRecorder {
  const minima: number[] = [];
  const maxima: number[] = [];
  let range: TensorRange = { min: Infinity, max: -Infinity };
  return {
    record(values, known) {
      const { min, max } =
        known === undefined ? rangeOf(values, tensor) : checkFinite(known, tensor);
      minima.push(min);
      maxima.push(max);
      range = { min: Math.min(range.min, min), max: Math.max(range.max, max) };
      return range;
    },
    finish: () => ({
      ...range,
      imageMinima: Float32Array.from(minima),
      imageMaxima: Float32Array.from(maxima),
    }),
  };
}

/** The images of `a` come before those of `b`. */
export function mergeMinMax(a: ObserverState, b: ObserverState): ObserverState {
  return {
    min: Math.min(a.min, b.min),
    max: Math.max(a.max, b.max),
    imageMinima: joined(a.imageMinima, b.imageMinima),
    imageMaxima: joined(a.imageMaxima, b.imageMaxima),
  };
}

function joined(a: Float32Array, b: Float32Array): Float32Array {
  const result = new Float32Array(a.length + b.length);
  result.set(a);
  result.set(b, a.length);
  return result;
}

/**
 * Compares the bits of the floats as integers, which order alike once those of negative numbers are
 * turned round, and NaN beyond infinity: seven times as fast as comparing floats in V8 (25 against
 * 170 ms for the 26 million activations of ResNet-50).
 * @throws OnnxError `quantization/not-finite`
 */
export function rangeOf(values: Float32Array, tensor: string): TensorRange {
  const bits = new Int32Array(values.buffer, values.byteOffset, values.length);
  let least = 0x7fffffff;
  let most = -0x80000000;
  // eslint-disable-next-line @typescript-eslint/prefer-for-of -- three times as slow here
  for (let i = 0; i < bits.length; i += 1) {
    const pattern = bits[i]!; // i < length
    const key = pattern ^ ((pattern >> 31) & 0x7fffffff);
    if (key < least) least = key;
    if (key > most) most = key;
  }
  return checkFinite({ min: floatOfKey(least), max: floatOfKey(most) }, tensor);
}

/** -0 becomes a plain 0. */
function checkFinite({ min, max }: TensorRange, tensor: string): TensorRange {
  if (Number.isFinite(min) && Number.isFinite(max)) return { min: min + 0, max: max + 0 };
  throw new OnnxError({
    code: 'quantization/not-finite',
    message: `tensor "${tensor}" takes values that are NaN or infinite in calibration`,
    hint: 'the float model itself is broken: look at its weights and at the normalization of its input',
  });
}

/** The key is its own inverse; adding 0 makes -0 a plain 0. */
function floatOfKey(key: number): number {
  const pattern = Int32Array.of(key ^ ((key >> 31) & 0x7fffffff));
  return new Float32Array(pattern.buffer)[0]! + 0;
}
