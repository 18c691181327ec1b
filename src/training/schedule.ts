export type Schedule =
  /** PyTorch's MultiStepLR: multiplied by `gamma` at the start of each milestone epoch. */
  | { readonly kind: 'steps'; readonly milestones: readonly number[]; readonly gamma: number }
  /** Half a cosine from the full rate to zero (Loshchilov and Hutter 2016, without restarts). */
  | { readonly kind: 'cosine' }
  | { readonly kind: 'constant' };

export interface LearningRateOptions {
  readonly learningRate: number;
  readonly schedule: Schedule;
  /** Epochs over which the rate grows linearly from zero. */
  readonly warmupEpochs: number;
}

/**
 * The rate for a step at `epochPosition` (2.5: in the middle of the third epoch), when
 * `doneFraction` of the whole training lies behind it.
 */
export function learningRateAt(
  { learningRate, schedule, warmupEpochs }: LearningRateOptions,
  epochPosition: number,
  doneFraction: number,
): number {
  if (epochPosition < warmupEpochs) return learningRate * (epochPosition / warmupEpochs);
  switch (schedule.kind) {
    case 'steps': {
      const epoch = Math.floor(epochPosition);
      const passed = schedule.milestones.filter((milestone) => epoch >= milestone).length;
      return learningRate * schedule.gamma ** passed;
    }
    case 'cosine':
      return (learningRate * (1 + Math.cos(Math.PI * Math.min(doneFraction, 1)))) / 2;
    case 'constant':
      return learningRate;
  }
}
