import type { Architecture } from '../../src/models/network.ts';
import type { Precision } from '../../src/training/precision.ts';

/** How a network is trained in a process that is measured; what the two programs have in common. */
export interface TrainingSetting {
  readonly architecture: Architecture;
  readonly precision: Precision;
  readonly batchSize: number;
  readonly sizePx: number;
  readonly classCount: number;
}

/** What training-speed-worker.ts is asked; training_speed.py knows `prepare`, `steps` and `usage`. */
export type WorkerCommand =
  | ({ readonly do: 'prepare' } & TrainingSetting)
  | { readonly do: 'steps'; readonly count: number }
  | { readonly do: 'usage' }
  | ({ readonly do: 'train' } & TrainingRun);

/** A whole training on images from the disk, through the loop of the train stage. */
export interface TrainingRun {
  readonly architecture: Architecture;
  readonly precision: Precision;
  readonly batchSize: number;
  readonly widthMultiplier: number;
  readonly epochs: number;
  /** Folder of an `image-shards` artifact. */
  readonly shards: string;
}

/** Of `prepare`, by drq. */
export interface Prepared {
  /** What the train stage would say that a step holds at its peak. */
  readonly estimatedBytes: number;
}

/** Of `steps`: what each took. */
export interface StepTimes {
  readonly milliseconds: readonly number[];
  readonly loss: number;
}

/** Of `usage`: of the process since its start. */
export interface ProcessUsage {
  readonly peakBytes: number;
  readonly residentBytes: number;
  readonly cpuSeconds: number;
}

/** Of `train`: of each epoch. */
export interface EpochUsage {
  readonly imagesPerSecond: number;
  readonly dataWaitFraction: number;
  /** At its end. */
  readonly residentBytes: number;
  readonly tensorCount: number;
}
