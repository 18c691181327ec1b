import type { Random } from '../numeric/random.ts';
import { shuffled } from '../numeric/random.ts';

/** What is compared, in the order of the results. */
export const SUBJECTS = ['baseline', 'model'] as const;
export type Subject = (typeof SUBJECTS)[number];

/** Consecutive runs of one subject. */
export interface Block {
  /** Blocks of one pair follow each other, one a subject, in random order. */
  readonly pair: number;
  readonly subject: Subject;
  readonly runCount: number;
}

/**
 * One untimed run when a block starts: the other network has just filled the caches, and what its
 * eviction costs belongs to the interleaving, not to either network.
 */
export const SETTLING_RUN_COUNT = 1;

/**
 * The order of all timed runs: pairs of blocks, the order within each pair drawn at random. Both
 * networks so meet the same drift of clock and temperature, which is the main error of timing one
 * after the other. Each subject gets exactly `timedRuns` runs.
 */
export function planBlocks(options: {
  readonly timedRuns: number;
  readonly blockSize: number;
  readonly random: Random;
}): Block[] {
  const blocks: Block[] = [];
  for (let pair = 0, done = 0; done < options.timedRuns; pair += 1, done += options.blockSize) {
    const runCount = Math.min(options.blockSize, options.timedRuns - done);
    for (const subject of shuffled(SUBJECTS, options.random)) {
      blocks.push({ pair, subject, runCount });
    }
  }
  return blocks;
}

/** One timed run. */
export interface LatencySample {
  readonly subject: Subject;
  readonly worker: number;
  /** The pair of blocks it belongs to. */
  readonly block: number;
  /** Counted per subject and worker, from 0. */
  readonly run: number;
  readonly ms: number;
}
