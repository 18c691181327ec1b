import { quantileOfSorted } from './quantile.ts';
import type { Random } from './random.ts';

export interface BootstrapOptions {
  /** How many independent units (images, blocks of runs) there are to draw from. */
  readonly unitCount: number;
  /** The statistic of one resample, given as indices of units; null when it is not defined there. */
  readonly statistic: (units: Uint32Array) => number | null;
  readonly random: Random;
  readonly resampleCount?: number;
}

/**
 * The percentile bootstrap 95 % interval (Efron and Tibshirani 1993, chapter 13): units are drawn
 * with replacement, and the middle 95 % of the statistic's values is taken. Null when fewer than two
 * units exist or the statistic was defined for less than half of the resamples.
 */
export function bootstrapInterval(options: BootstrapOptions): [number, number] | null {
  const { unitCount, statistic, random, resampleCount = 2000 } = options;
  if (unitCount < 2) return null;
  const values: number[] = [];
  const units = new Uint32Array(unitCount);
  for (let resample = 0; resample < resampleCount; resample += 1) {
    for (let i = 0; i < unitCount; i += 1) units[i] = random.integer(unitCount);
    const value = statistic(units);
    if (value !== null) values.push(value);
  }
  if (values.length * 2 < resampleCount) return null;
  const ascending = Float64Array.from(values).sort();
  return [quantileOfSorted(ascending, 0.025), quantileOfSorted(ascending, 0.975)];
}
