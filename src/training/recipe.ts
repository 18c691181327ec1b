import type { ImageChanges } from './batches.ts';
import type { LearningRateOptions } from './schedule.ts';
import type { OptimizerOptions } from './update-rules.ts';

/** How a network is trained; with the images, the initial weights and the seed it decides the result. */
export interface Recipe extends LearningRateOptions, OptimizerOptions {
  readonly epochs: number;
  readonly batchSize: number;
  readonly weightDecay: number;
  /** `all`: biases and batch norm included, as PyTorch's optimizers do by themselves. */
  readonly weightDecayOn: 'all' | 'weights';
  /** Probability mass spread evenly over all classes (Szegedy et al. 2015, section 7). */
  readonly labelSmoothing: number;
  readonly imageChanges: ImageChanges;
  /** Factor on the rate of the last layer, for one that starts anew on top of trained ones. */
  readonly headLearningRateFactor: number;
  /** No epoch is begun that would, at the pace so far, end beyond it; null: none. */
  readonly timeLimitMs: number | null;
  readonly seed: number;
}
