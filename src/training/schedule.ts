export type Schedule =
  /** PyTorch's MultiStepLR: multiplied by `gamma` at the start of each milestone epoch. */
  | { readonly kind: 'steps'; readonly milestones: readonly number[]; readonly gamma: number }
  /** Half a cosine from the full rate to zero (Loshchilov and Hutter 2016, without restarts). */
  | { readonly kind: 'cosine' }
  /**
   * PyTorch's OneCycleLR with cycle_momentum=False (Smith and Topin 2018): half a cosine up from 1/25 of the
   * rate in the first `riseFraction` of the steps, then half a cosine down to 1/10000 of where it began.
   */
  | { readonly kind: 'one-cycle'; readonly riseFraction: number }
  | { readonly kind: 'constant' };

const ONE_CYCLE_START = 1 / 25;
const ONE_CYCLE_END = 1e-4;

export interface LearningRateOptions {
  readonly learningRate: number;
  readonly schedule: Schedule;
  /** Epochs over which the rate grows linearly from zero. */
  readonly warmupEpochs: number;
}

export interface TrainingPlace {
  /** 2.5: in the middle of the third epoch. */
  readonly epochPosition: number;
  /** Of the whole training, before this step. */
  readonly doneFraction: number;
  /** Of all epochs. */
  readonly stepCount: number;
}

/** The rate for the step that begins now. */
export function learningRateAt(
  { learningRate, schedule, warmupEpochs }: LearningRateOptions,
  { epochPosition, doneFraction, stepCount }: TrainingPlace,
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
    case 'one-cycle':
      return learningRate * oneCycle(doneFraction * stepCount, stepCount, schedule.riseFraction);
    case 'constant':
      return learningRate;
  }
}

/** Factor at step `step` (from 0) of `stepCount`; torch/optim/lr_scheduler.py, OneCycleLR.get_lr. */
function oneCycle(step: number, stepCount: number, riseFraction: number): number {
  const peak = Math.max(riseFraction * stepCount - 1, 0);
  if (step < peak) return anneal(ONE_CYCLE_START, 1, step / peak);
  const last = Math.max(stepCount - 1, peak + 1); // of a training of one step, too
  return anneal(1, ONE_CYCLE_START * ONE_CYCLE_END, Math.min((step - peak) / (last - peak), 1));
}

function anneal(start: number, end: number, fraction: number): number {
  return end + ((start - end) * (1 + Math.cos(Math.PI * fraction))) / 2;
}
