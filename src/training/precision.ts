export const PRECISIONS = ['float32', 'bfloat16'] as const;
export type Precision = (typeof PRECISIONS)[number];

/**
 * What a training that asks for `precision` computes in: without instructions for bfloat16 TensorFlow
 * has no kernel for some operations, sums others up in bfloat16 itself, and takes longer than float32.
 */
export function usablePrecision(precision: Precision, hasBfloat16: boolean): Precision {
  return hasBfloat16 ? precision : 'float32';
}
