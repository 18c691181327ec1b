import type { TensorRange } from '../parameters.ts';
import type { ObserverState } from './observer.ts';

/**
 * The mean of the images' least and greatest values: what NNCF's default aggregates (`MEAN` of `MIN`
 * and `MAX`). Unlike `min-max` it does not follow the rare image whose activations are ten times
 * those of the others; unlike the moving average it does not depend on the order of the images.
 */
export function meanRange({ imageMinima, imageMaxima }: ObserverState): TensorRange {
  return { min: mean(imageMinima), max: mean(imageMaxima) };
}

function mean(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length; // every state has seen an image
}
