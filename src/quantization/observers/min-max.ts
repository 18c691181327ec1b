import { OnnxError } from '../../diagnostics/errors.ts';
import type { Observer, ObserverState } from './observer.ts';

/** Observes the smallest and largest value. */
export function createMinMaxObserver(tensor: string): Observer {
  let min = Infinity;
  let max = -Infinity;
  return {
    observe(values) {
      const range = rangeOf(values, tensor);
      min = Math.min(min, range.min);
      max = Math.max(max, range.max);
    },
    finish: () => ({ min, max }),
  };
}

export function mergeMinMax(a: ObserverState, b: ObserverState): ObserverState {
  return { min: Math.min(a.min, b.min), max: Math.max(a.max, b.max) };
}

/** @throws OnnxError `quantization/not-finite` */
export function rangeOf(values: Float32Array, tensor: string): { min: number; max: number } {
  let min = Infinity;
  let max = -Infinity;
  let sum = 0; // becomes NaN when any value is NaN, or opposite infinities meet
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i]!; // i < length
    if (value < min) min = value;
    if (value > max) max = value;
    sum += value;
  }
  if (Number.isFinite(min) && Number.isFinite(max) && !Number.isNaN(sum)) return { min, max };
  throw new OnnxError({
    code: 'quantization/not-finite',
    message: `tensor "${tensor}" takes values that are NaN or infinite on the calibration images`,
    hint: 'the float model itself is broken: look at its weights and at the normalization of its input',
  });
}
