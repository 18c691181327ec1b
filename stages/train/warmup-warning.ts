import { warmupStepCount } from '../../src/training/schedule.ts';
import type { TrainingResult } from '../../src/training/training-loop.ts';

interface Steps {
  readonly warmupEpochs: number;
  readonly batchSize: number;
  readonly trainImageCount: number;
}

/** What to tell when the time limit ended a training before its warm-up did; null: it did not. */
export function warmupWarning(
  {
    stoppedBy,
    epochs,
  }: Pick<TrainingResult, 'stoppedBy'> & {
    readonly epochs: readonly { readonly imageCount: number }[];
  },
  { warmupEpochs, batchSize, trainImageCount }: Steps,
): string | null {
  if (stoppedBy !== 'time-limit') return null;
  const stepsOf = (imageCount: number): number => Math.ceil(imageCount / batchSize);
  const stepCount = epochs.reduce((sum, { imageCount }) => sum + stepsOf(imageCount), 0);
  const warmupSteps = warmupStepCount(warmupEpochs, stepsOf(trainImageCount));
  if (stepCount > warmupSteps) return null;
  return `the time limit ended the training within its warm-up, after ${stepCount} of ${warmupSteps} steps: the rate only rose and the schedule never began; raise "timeLimitMinutes" or lower "warmupEpochs"`;
}
