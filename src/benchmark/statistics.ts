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
    p90Ms: samples.length < P90_SAMPLE_FLOOR ? null : quantileOfSorted(samples, 0.9),
    minimumMs: samples[0]!, // SortedSamples are never empty
    maximumMs: samples[samples.length - 1]!,
  };
}

/** The runs of both subjects in one block: measured within a moment of each other. */
export interface PairedBlock {
  readonly baselineMs: readonly number[];
  readonly modelMs: readonly number[];
}

/**
 * Fewest blocks for an interval. A percentile interval cannot reach beyond the extreme blocks, and the
 * extremes of n independent values enclose their median with probability 1 - 2 * 2^-n (Conover 1999,
 * section 3.2): 93.75 % of 5, 96.9 % of 6.
 */
export const BLOCK_FLOOR = 6;

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
  return { ratio: ratioOf(blocks), interval: blockInterval(blocks, random, ratioOf) };
}

/** The mean's 95 % bootstrap interval over whole blocks, for the same reason as in `speedup`. */
export function meanInterval(
  blocksMs: readonly (readonly number[])[],
  random: Random,
): [number, number] | null {
  return blockInterval(blocksMs, random, (chosen) => meanOf(chosen.flat()));
}

/** The median's 95 % bootstrap interval over whole blocks, for the same reason as in `speedup`. */
export function medianInterval(
  blocksMs: readonly (readonly number[])[],
  random: Random,
): [number, number] | null {
  return blockInterval(blocksMs, random, (chosen) => medianOf(chosen.flat()));
}

/** The block bootstrap (Davison and Hinkley 1997, section 8.2); null below `BLOCK_FLOOR` blocks. */
function blockInterval<Block>(
  blocks: readonly Block[],
  random: Random,
  statistic: (chosen: readonly Block[]) => number,
): [number, number] | null {
  if (blocks.length < BLOCK_FLOOR) return null;
  return bootstrapInterval({
    unitCount: blocks.length,
    random,
    statistic: (units) => statistic(Array.from(units, (unit) => blocks[unit]!)), // unit < blocks.length
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
