import type { TensorRange } from '../parameters.ts';

/**
 * What was seen of one tensor so far, as plain data that travels between threads. Counts are kept in
 * bins of width 2^exponent aligned at zero: bin i holds floor(x / 2^exponent) = firstBin + i. Bins of
 * a power of two merge in pairs without losing or moving a count, so their counts depend on the
 * values seen only, not on their order or on how they were spread over threads.
 */
export interface ObserverState {
  readonly min: number;
  readonly max: number;
  /** Least and greatest value of each image, in the order of the images. */
  readonly imageMinima: Float32Array;
  readonly imageMaxima: Float32Array;
  /** Absent when only the range is observed. */
  readonly histogram?: Histogram;
}

export interface Histogram {
  readonly exponent: number;
  readonly firstBin: number;
  readonly counts: Float64Array;
  /** How many of the counts in bin 0 are exact zeros (a ReLU makes many). */
  readonly zeroCount: number;
  /**
   * The same bins, each image's counts divided by the mean square of its values: an error of values so
   * weighted is relative to the image it is of. An image of nothing but zeros weighs nothing.
   */
  readonly relativeCounts: Float64Array;
  readonly relativeZeroCount: number;
}

/** Accumulates the values of one tensor; keeps none of the arrays it is shown. */
export interface Observer {
  /**
   * Takes the values of one image, or a sample of them and the range of all.
   * @throws OnnxError `quantization/not-finite` when a value is NaN or infinite.
   */
  observe(values: Float32Array, range?: TensorRange): void;
  finish(): ObserverState;
}
