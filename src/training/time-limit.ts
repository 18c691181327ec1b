import type { Recipe } from './recipe.ts';
import { goesByTime } from './schedule.ts';
import type { EpochRecord } from './training-state.ts';

type Limit = Pick<Recipe, 'timeLimitMs' | 'schedule' | 'batchSize'>;
/** What of an epoch tells how long the next will take. */
type Pace = Pick<EpochRecord, 'durationMs' | 'imageCount' | 'imagesPerSecond'>;

/**
 * Where a schedule that goes by time ends, from the start of the training: early enough for a validation as
 * long as the one before. Null: there is no limit.
 */
export function scheduleEndMs(
  { timeLimitMs }: Pick<Limit, 'timeLimitMs'>,
  last: Pace | undefined,
): number | null {
  if (timeLimitMs === null || last === undefined) return timeLimitMs;
  const trainingMs = (1000 * last.imageCount) / last.imagesPerSecond;
  return timeLimitMs - Math.max(0, last.durationMs - trainingMs);
}

/**
 * Whether another epoch is begun: a whole one has to fit, or where the schedule goes by time a step, since it
 * then ends the epoch. One that was ended so is the last.
 */
export function hasTimeForEpoch(
  recipe: Limit,
  last: Pace | undefined,
  { elapsedMs, trainImageCount }: { readonly elapsedMs: number; readonly trainImageCount: number },
): boolean {
  const endMs = scheduleEndMs(recipe, last);
  if (recipe.timeLimitMs === null || endMs === null || last === undefined) return true;
  if (!goesByTime(recipe.schedule)) return elapsedMs + last.durationMs <= recipe.timeLimitMs;
  if (last.imageCount < trainImageCount) return false;
  const stepMs = (1000 * Math.min(recipe.batchSize, trainImageCount)) / last.imagesPerSecond;
  return elapsedMs + stepMs <= endMs;
}
