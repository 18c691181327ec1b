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

/**
 * A mean cross-entropy that means logits thousands apart; guessing among a thousand classes costs 6.9. Beyond
 * it nothing was seen to come back.
 */
const EXPLODED_LOSS = 1e4;

/** @throws StageError `training/diverged` when the loss of a step is no number or has exploded. */
export function requireSoundLoss(loss: number, place: StepPlace, recipe: Recipe): void {
  if (Number.isFinite(loss) && loss <= EXPLODED_LOSS) return;
  const { epoch, step, stepCount, learningRate } = place;
  const what = Number.isFinite(loss)
    ? `exploded to ${loss.toPrecision(3)}`
    : `became ${String(loss)}`;
  throw diverged(
    `the loss ${what} in epoch ${epoch}, step ${step + 1} of ${stepCount}, at learning rate ${learningRate.toPrecision(3)}`,
    recipe,
  );
}

/** The last step of an epoch may ruin weights whose loss nobody sees but the validation. */
export function requireSoundValidation(
  loss: number,
  { epoch, learningRate }: Pick<StepPlace, 'epoch' | 'learningRate'>,
  recipe: Recipe,
): void {
  if (Number.isFinite(loss)) return;
  throw diverged(
    `the validation loss became ${String(loss)} after epoch ${epoch}, at learning rate ${learningRate.toPrecision(3)}`,
    recipe,
  );
}

function diverged(message: string, recipe: Recipe): StageError {
  return new StageError({ code: 'training/diverged', message, hint: hintFor(recipe) });
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
