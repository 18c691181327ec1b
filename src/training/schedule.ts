export type Schedule =
  /** PyTorch's MultiStepLR: multiplied by `gamma` at the start of each milestone epoch. */
  | { readonly kind: 'steps'; readonly milestones: readonly number[]; readonly gamma: number }
  /**
   * Half a cosine from the full rate to zero over the steps after the warm-up (Loshchilov and Hutter 2016,
   * without restarts): PyTorch's CosineAnnealingLR, behind the warm-up as SequentialLR puts it.
   */
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
  /**
   * Epochs over which the rate grows linearly, by the same amount a step: of n steps the first has 1/n of the
   * rate and the last all of it, as PyTorch's LinearLR(start_factor=1 / n, total_iters=n - 1).
   */
  readonly warmupEpochs: number;
}

export interface TrainingPlace {
  /** Of the whole training, from 0. */
  readonly step: number;
  readonly stepsPerEpoch: number;
  /** Of all epochs. */
  readonly stepCount: number;
  /** Of the whole training, before this step; more than by steps where a time limit will end it first. */
  readonly doneFraction: number;
}

/** Whether a time limit shortens the schedule: it has then come to its end with the time, and a step more would have rate 0. */
export function goesByTime({ kind }: Schedule): boolean {
  return kind === 'cosine' || kind === 'one-cycle';
}

/** Steps in which the rate grows. */
export function warmupStepCount(warmupEpochs: number, stepsPerEpoch: number): number {
  return warmupEpochs > 0 ? Math.max(1, Math.round(warmupEpochs * stepsPerEpoch)) : 0;
}

/** The rate for the step that begins now. */
export function learningRateAt(
  { learningRate, schedule, warmupEpochs }: LearningRateOptions,
  { step, stepsPerEpoch, stepCount, doneFraction }: TrainingPlace,
): number {
  const warmupSteps = warmupStepCount(warmupEpochs, stepsPerEpoch);
  if (step < warmupSteps) return (learningRate * (step + 1)) / warmupSteps;
  switch (schedule.kind) {
    case 'steps': {
      const epoch = Math.floor(step / stepsPerEpoch);
      const passed = schedule.milestones.filter((milestone) => epoch >= milestone).length;
      return learningRate * schedule.gamma ** passed;
    }
    case 'cosine':
      return learningRate * anneal(1, 0, doneOfRest(doneFraction, step, warmupSteps));
    case 'one-cycle':
      return learningRate * oneCycle(doneFraction * stepCount, stepCount, schedule.riseFraction);
    case 'constant':
      return learningRate;
  }
}

/**
 * Of what comes after the warm-up: by steps (step - warmupSteps) / (stepCount - warmupSteps). By time the
 * warm-up took as much of `doneFraction` as of the steps so far.
 */
function doneOfRest(doneFraction: number, step: number, warmupSteps: number): number {
  if (doneFraction >= 1) return 1;
  const warmup = step === 0 ? 0 : (doneFraction * warmupSteps) / step;
  return (doneFraction - warmup) / (1 - warmup);
}

/** Factor at step `step` (from 0) of `stepCount`; torch/optim/lr_scheduler.py, OneCycleLR.get_lr. */
function oneCycle(step: number, stepCount: number, riseFraction: number): number {
  const peak = riseFraction * stepCount - 1; // may lie before the first step
  if (step < peak) return anneal(ONE_CYCLE_START, 1, step / peak);
  const last = stepCount - 1;
  if (last <= Math.max(peak, 0)) return 1; // nothing comes after the peak, or a single step is all
  return anneal(1, ONE_CYCLE_START * ONE_CYCLE_END, Math.min((step - peak) / (last - peak), 1));
}

function anneal(start: number, end: number, fraction: number): number {
  return end + ((start - end) * (1 + Math.cos(Math.PI * fraction))) / 2;
}
