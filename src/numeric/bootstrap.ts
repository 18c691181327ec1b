import { setImmediate } from 'node:timers/promises';
import { InterruptedError } from '../diagnostics/errors.ts';
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

export interface InterruptibleBootstrapOptions extends BootstrapOptions {
  readonly signal: AbortSignal;
  /** Told now and then, only of a bootstrap that takes a while. */
  readonly onProgress?: (done: number, total: number) => void;
}

const RESAMPLE_COUNT = 2000;

/** How long other work of this thread may have to wait. */
const TURN_MS = 200;

/**
 * The percentile bootstrap 95 % interval (Efron and Tibshirani 1993, chapter 13): units are drawn
 * with replacement, and the middle 95 % of the statistic's values is taken. Null when fewer than two
 * units exist or the statistic was defined for less than half of the resamples.
 */
export function bootstrapInterval(options: BootstrapOptions): [number, number] | null {
  return intervalOf([...resampledStatistics(options)]);
}

/**
 * The same interval, for more units than one turn of the event loop should take.
 * @throws InterruptedError
 */
export async function interruptibleBootstrapInterval(
  options: InterruptibleBootstrapOptions,
): Promise<[number, number] | null> {
  const { signal, onProgress, resampleCount = RESAMPLE_COUNT } = options;
  const values: (number | null)[] = [];
  let turnStart = performance.now();
  for (const value of resampledStatistics(options)) {
    values.push(value);
    if (performance.now() - turnStart < TURN_MS) continue;
    onProgress?.(values.length, resampleCount);
    await setImmediate();
    if (signal.aborted) throw new InterruptedError();
    turnStart = performance.now();
  }
  return intervalOf(values);
}

/** Nothing when there are too few units to draw from. */
function* resampledStatistics(options: BootstrapOptions): Generator<number | null> {
  const { unitCount, statistic, random, resampleCount = RESAMPLE_COUNT } = options;
  if (unitCount < 2) return;
  const units = new Uint32Array(unitCount);
  for (let resample = 0; resample < resampleCount; resample += 1) {
    for (let i = 0; i < unitCount; i += 1) units[i] = random.integer(unitCount);
    yield statistic(units);
  }
}

function intervalOf(statistics: readonly (number | null)[]): [number, number] | null {
  const values = statistics.filter((value) => value !== null);
  if (values.length === 0 || values.length * 2 < statistics.length) return null;
  const ascending = Float64Array.from(values).sort();
  return [quantileOfSorted(ascending, 0.025), quantileOfSorted(ascending, 0.975)];
}
