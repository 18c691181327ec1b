import type { Evaluation } from './evaluate-network.ts';
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

/** Whether the last `patience` epochs brought nothing better than one before them; null: they may. */
export function hasStalled(epochs: readonly EpochRecord[], patience: number | null): boolean {
  if (patience === null) return false;
  let best: EpochRecord | null = null;
  for (const record of epochs) {
    if (isBetter(record.validation, best?.validation ?? null)) best = record;
  }
  return best !== null && epochs.length - best.epoch >= patience;
}
