import { StageError } from '../diagnostics/errors.ts';
import type { Recipe } from './recipe.ts';

export interface StepPlace {
  /** From 1. */
  readonly epoch: number;
  /** Of the epoch, from 0. */
  readonly step: number;
  readonly stepCount: number;
  readonly learningRate: number;
}

export const DIVERGED = 'training/diverged';

/**
 * A mean cross-entropy that means logits thousands apart; guessing among a thousand classes costs 6.9. Beyond
 * it nothing was seen to come back.
 */
const EXPLODED_LOSS = 1e4;

/** @throws StageError `training/diverged` when the loss of a step is no number or has exploded. */
export function requireSoundLoss(loss: number, place: StepPlace, recipe: Recipe): void {
  if (Number.isFinite(loss) && loss <= EXPLODED_LOSS) return;
  const { epoch, step, stepCount, learningRate } = place;
  throw diverged(
    `the loss ${changeOf(loss)} in epoch ${epoch}, step ${step + 1} of ${stepCount}, at learning rate ${learningRate.toPrecision(3)}`,
    recipe,
  );
}

/**
 * Running statistics of batch norm begin at 0 and 1 and keep 0.9 of themselves a step: after 44 steps a
 * hundredth of that is left. Before, a deep network may validate as badly as one that has diverged.
 */
const STATISTICS_STEPS = 50;

/** The last step of an epoch may ruin weights whose loss nobody sees but the validation. */
export function requireSoundValidation(
  loss: number,
  {
    epoch,
    learningRate,
    stepsDone,
  }: Pick<StepPlace, 'epoch' | 'learningRate'> & {
    /** Of the whole training. */
    readonly stepsDone: number;
  },
  recipe: Recipe,
): void {
  const limit = stepsDone < STATISTICS_STEPS ? Number.MAX_VALUE : EXPLODED_LOSS;
  if (loss <= limit) return;
  throw diverged(
    `the validation loss ${changeOf(loss)} after epoch ${epoch}, at learning rate ${learningRate.toPrecision(3)}`,
    recipe,
  );
}

/**
 * The same where nothing is validated: by weights and outputs themselves, by name.
 * @throws StageError `training/diverged` when a number is not finite.
 */
export function requireFinite(
  values: ReadonlyMap<string, Float32Array>,
  { epoch, learningRate }: Pick<StepPlace, 'epoch' | 'learningRate'>,
  recipe: Recipe,
): void {
  for (const [name, numbers] of values) {
    if (numbers.every(Number.isFinite)) continue;
    throw diverged(
      `${name} is not finite any more after epoch ${epoch}, at learning rate ${learningRate.toPrecision(3)}`,
      recipe,
    );
  }
}

function changeOf(loss: number): string {
  return Number.isFinite(loss) ? `exploded to ${loss.toPrecision(3)}` : `became ${String(loss)}`;
}

function diverged(message: string, recipe: Recipe): StageError {
  return new StageError({ code: DIVERGED, message, hint: hintFor(recipe) });
}

function hintFor(recipe: Recipe): string {
  const { schedule, warmupEpochs, headLearningRateFactor, classWeights } = recipe;
  const others = [
    ...(warmupEpochs < 1 && schedule.kind !== 'one-cycle' ? ['raise "warmupEpochs"'] : []),
    ...(headLearningRateFactor > 1 ? ['lower "headLearningRateFactor"'] : []),
    ...(classWeights === 'balanced' ? ['set "classWeights" to square-root'] : []),
  ];
  return ['lower "learningRate" (a tenth is a good next try)', ...others].join(' or ');
}
