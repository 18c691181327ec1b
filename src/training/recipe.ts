import type { ImageChanges } from './batches.ts';
import type { LearningRateOptions } from './schedule.ts';
import type { ClassWeighting } from './training-targets.ts';
import type { OptimizerOptions } from './optimizer-types.ts';

/** How a network is trained; with the images, the initial weights and the seed it decides the result. */
export interface Recipe extends LearningRateOptions, OptimizerOptions {
  readonly epochs: number;
  readonly batchSize: number;
  readonly weightDecay: number;
  /** `all`: biases and batch norm included, as PyTorch's optimizers do by themselves. */
  readonly weightDecayOn: 'all' | 'weights';
  /** Images that go through the network at a time, their gradients summed; null: the whole batch. */
  readonly microBatchSize: number | null;
  readonly labelSmoothing: number;
  readonly classWeights: ClassWeighting;
  readonly sampling: 'shuffled' | 'balanced';
  readonly imageChanges: ImageChanges;
  /** Factor on the rate of the last layer, for one that starts anew on top of trained ones. */
  readonly headLearningRateFactor: number;
  /** Epochs in which the last layer alone learns, before the others do. */
  readonly headEpochs: number;
  /** Convolutions and dense layers, from the image on, that never learn. */
  readonly frozenLayerCount: number;
  /** Of the moving average of the weights that is scored and kept in their place; null: the weights themselves. */
  readonly averageDecay: number | null;
  /** Epochs without a better validation, after `headEpochs` and the warm-up, that end the training; null: none do. */
  readonly patience: number | null;
  /**
   * No epoch is begun that would, at the pace so far, end beyond it; where the schedule goes by time the one
   * that runs ends with it instead. Null: none.
   */
  readonly timeLimitMs: number | null;
  readonly seed: number;
}
