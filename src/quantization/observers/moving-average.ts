import type { TensorRange } from '../parameters.ts';
import type { ObserverState } from './observer.ts';

/** Share of a new image in the average: that of onnxruntime and of PyTorch's observer. */
const AVERAGING_CONSTANT = 0.01;

/**
 * The exponential moving average of each image's range, beginning with the first image's own:
 * `average += c * (value - average)`, c = 0.01, as onnxruntime's MinMaxCalibrater with
 * `CalibMovingAverage` in batches of one image and PyTorch's MovingAverageMinMaxObserver.
 */
export function movingAverageRange({ imageMinima, imageMaxima }: ObserverState): TensorRange {
  return { min: movingAverage(imageMinima), max: movingAverage(imageMaxima) };
}

function movingAverage(values: Float32Array): number {
  let average = values[0] ?? 0; // every state has seen an image
  for (const value of values) average += AVERAGING_CONSTANT * (value - average);
  return average;
}
