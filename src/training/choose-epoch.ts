import type { Evaluation } from './evaluate-network.ts';
import type { Recipe } from './recipe.ts';
import type { EpochRecord } from './training-state.ts';

/** Higher accuracy, or of equals the lower loss. */
export function isBetter(candidate: Evaluation | null, best: Evaluation | null): boolean {
  if (candidate === null) return false;
  if (best === null) return true;
  if (candidate.top1Fraction !== best.top1Fraction) {
    return candidate.top1Fraction > best.top1Fraction;
  }
  return candidate.loss < best.loss;
}

/**
 * Whether the last `patience` epochs brought nothing better than one before them; null: they may. Those in which
 * the head alone learns or the rate still rises are no reason to stop, though one of them may stay the best.
 */
export function hasStalled(
  epochs: readonly EpochRecord[],
  { patience, headEpochs, warmupEpochs }: Pick<Recipe, 'patience' | 'headEpochs' | 'warmupEpochs'>,
): boolean {
  if (patience === null) return false;
  let best: EpochRecord | null = null;
  for (const record of epochs) {
    if (isBetter(record.validation, best?.validation ?? null)) best = record;
  }
  if (best === null) return false;
  const waitedSince = Math.max(best.epoch, headEpochs, Math.ceil(warmupEpochs));
  return epochs.length - waitedSince >= patience;
}
