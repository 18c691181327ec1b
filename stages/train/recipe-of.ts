import type { z } from 'zod';
import type { Recipe } from '../../src/training/recipe.ts';
import type { Schedule } from '../../src/training/schedule.ts';
import type { trainParameters } from './parameters.ts';

type Parameters = z.output<typeof trainParameters>;

/** The recipe that a stage's parameters describe. */
export function recipeOf(parameters: Parameters): Recipe {
  const { flip, shiftFraction, timeLimitMinutes } = parameters;
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
