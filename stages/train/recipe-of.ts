import type { z } from 'zod';
import { StageError } from '../../src/diagnostics/errors.ts';
import type { Recipe } from '../../src/training/recipe.ts';
import type { Schedule } from '../../src/training/schedule.ts';
import type { trainParameters } from './parameters.ts';

type Parameters = z.output<typeof trainParameters>;

/** The recipe that a stage's parameters describe. @throws StageError `train/two-warm-ups` */
export function recipeOf(parameters: Parameters): Recipe {
  const { flip, shiftFraction, timeLimitMinutes, schedule, warmupEpochs } = parameters;
  if (schedule === 'one-cycle' && warmupEpochs > 0) {
    throw new StageError({
      code: 'train/two-warm-ups',
      message: `schedule one-cycle has a rise of its own, "riseFraction"; warmupEpochs ${warmupEpochs} would put another in its place`,
      hint: 'set "warmupEpochs" to 0, or choose schedule cosine',
    });
  }
  return {
    ...parameters,
    schedule: scheduleOf(parameters),
    imageChanges: { flip, shiftFraction },
    timeLimitMs: timeLimitMinutes === null ? null : timeLimitMinutes * 60_000,
  };
}

function scheduleOf({ schedule, milestones, gamma, riseFraction }: Parameters): Schedule {
  switch (schedule) {
    case 'steps':
      return { kind: 'steps', milestones, gamma };
    case 'one-cycle':
      return { kind: 'one-cycle', riseFraction };
    case 'cosine':
    case 'constant':
      return { kind: schedule };
  }
}
