/** Below this a pace is noise: the first steps also set up kernels and memory. */
const SHORTEST_OBSERVATION_MS = 5_000;

export interface EpochPace {
  readonly epochs: number;
  readonly timeLimitMs: number | null;
  /** Where the schedule goes by time: when it ends the epoch that then runs. Null: it does not. */
  readonly scheduleEndMs: number | null;
  /** From 1: the epoch that begins now. */
  readonly epoch: number;
  /** Of the whole epoch before, with validation; null in the first one. */
  readonly lastEpochMs: number | null;
  /** From the start of the training to the start of this epoch. */
  readonly elapsedBeforeMs: number;
}

/** What is done of the epoch that runs. */
export interface EpochPart {
  readonly elapsedMs: number;
  readonly doneFraction: number;
}

/**
 * Tells how many epochs will have run at the end: with a time limit those that fit at the pace of the
 * epoch before, and the one that the schedule's end cuts short. The first epoch goes by its own first
 * seconds, once, since a progress bar starts anew whenever its total changes; until then all epochs of
 * the recipe are expected.
 */
export function createEpochForecast(pace: EpochPace): (part: EpochPart) => number {
  const { epochs, timeLimitMs, scheduleEndMs, epoch, lastEpochMs, elapsedBeforeMs } = pace;
  if (timeLimitMs === null) return () => epochs;
  // The epoch that runs was begun, so it counts even when it will end too late.
  const withPace = (epochMs: number): number => {
    const fitting =
      scheduleEndMs === null
        ? Math.floor((timeLimitMs - elapsedBeforeMs) / epochMs)
        : Math.ceil((scheduleEndMs - elapsedBeforeMs) / epochMs);
    return Math.min(epochs, epoch - 1 + Math.max(1, fitting));
  };
  let forecast = lastEpochMs === null ? null : withPace(lastEpochMs);
  return ({ elapsedMs, doneFraction }) => {
    if (forecast === null && elapsedMs >= SHORTEST_OBSERVATION_MS) {
      forecast = withPace(elapsedMs / doneFraction);
    }
    return forecast ?? epochs;
  };
}
