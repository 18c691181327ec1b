import { InternalError } from '../diagnostics/errors.ts';
import { bootstrapInterval } from '../numeric/bootstrap.ts';
import { quantileOfSorted } from '../numeric/quantile.ts';
import type { Random } from '../numeric/random.ts';

/** Ascending latencies in ms; made only by `sortSamples`. */
export type SortedSamples = Float64Array & { readonly __brand: 'SortedSamples' };

/** @throws InternalError when there are none. */
export function sortSamples(latenciesMs: Iterable<number>): SortedSamples {
  const sorted = Float64Array.from(latenciesMs).sort();
  if (sorted.length === 0) throw new InternalError('no latencies were measured');
  return sorted as SortedSamples; // the brand says: sorted just now, and not empty
}

/**
 * Fewest samples for the 90th percentile at 95 % confidence: the smallest n at which at most one
 * sample above it has a probability of 5 % or less (the rule of MLPerf's LoadGen).
 */
export const P90_SAMPLE_FLOOR = 46;

export interface LatencySummary {
  readonly sampleCount: number;
  readonly meanMs: number;
  readonly medianMs: number;
  /** 95 %; null below 6 samples, where no two order statistics enclose the median that surely. */
  readonly medianIntervalMs: [number, number] | null;
  /** Null below `P90_SAMPLE_FLOOR` samples. */
  readonly p90Ms: number | null;
  readonly minimumMs: number;
  readonly maximumMs: number;
}

export function summarizeLatency(samples: SortedSamples): LatencySummary {
  return {
    sampleCount: samples.length,
    meanMs: meanOf(samples),
    medianMs: quantileOfSorted(samples, 0.5),
    medianIntervalMs: medianInterval(samples),
    p90Ms: samples.length < P90_SAMPLE_FLOOR ? null : quantileOfSorted(samples, 0.9),
    minimumMs: samples[0]!, // SortedSamples are never empty
    maximumMs: samples[samples.length - 1]!,
  };
}

/**
 * The exact 95 % interval of the median by order statistics, free of any assumption on the
 * distribution: ranks r and n + 1 - r, where r is the largest with
 * 2 P(Binomial(n, 1/2) <= r - 1) <= 5 % (Conover 1999, section 3.2).
 */
export function medianInterval(samples: SortedSamples): [number, number] | null {
  const n = samples.length;
  // log P(X = 0) = -n log 2; logarithms, because 2^-n underflows beyond n = 1074.
  let logProbability = -n * Math.LN2;
  let cumulative = Math.exp(logProbability);
  let rank = 0;
  while (2 * cumulative <= 0.05) {
    rank += 1;
    logProbability += Math.log((n - rank + 1) / rank);
    cumulative += Math.exp(logProbability);
  }
  return rank === 0 ? null : [samples[rank - 1]!, samples[n - rank]!]; // 1 <= rank <= n / 2
}

/** The runs of both subjects in one block: measured within a moment of each other. */
export interface PairedBlock {
  readonly baselineMs: readonly number[];
  readonly modelMs: readonly number[];
}

/**
 * How many times faster the model is: the ratio of the medians, with a 95 % bootstrap interval over
 * whole blocks. Runs of one block share the state of the machine, so single runs are not
 * independent, and drawing them one by one would give an interval too narrow.
 */
export function speedup(
  blocks: readonly PairedBlock[],
  random: Random,
): { ratio: number; interval: [number, number] | null } {
  const ratioOf = (chosen: readonly PairedBlock[]): number =>
    medianOf(chosen.flatMap(({ baselineMs }) => baselineMs)) /
    medianOf(chosen.flatMap(({ modelMs }) => modelMs));
  const interval = bootstrapInterval({
    unitCount: blocks.length,
    random,
    statistic: (units) => ratioOf(Array.from(units, (unit) => blocks[unit]!)), // unit < blocks.length
  });
  return { ratio: ratioOf(blocks), interval };
}

/** The mean's 95 % bootstrap interval over whole blocks, for the same reason as in `speedup`. */
export function meanInterval(
  blocksMs: readonly (readonly number[])[],
  random: Random,
): [number, number] | null {
  return bootstrapInterval({
    unitCount: blocksMs.length,
    random,
    statistic: (units) => meanOf(Array.from(units, (unit) => blocksMs[unit]!).flat()),
  });
}

function medianOf(values: readonly number[]): number {
  return quantileOfSorted(sortSamples(values), 0.5);
}

function meanOf(values: Float64Array | readonly number[]): number {
  let total = 0;
  for (const value of values) total += value;
  return total / values.length;
}
