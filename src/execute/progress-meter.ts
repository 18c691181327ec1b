import type { ProgressUpdate } from '../stage/definition.ts';

/** At most ten events a second, however often a stage calls. */
const MIN_INTERVAL_MS = 100;
/** The rate is that of the last ten seconds: a slow start does not spoil the time left. */
const WINDOW_MS = 10_000;

export interface MeteredProgress extends ProgressUpdate {
  readonly elapsedMs: number;
}

/** Turns a stage's progress calls into a bounded number of events with rate and time left. */
export class ProgressMeter {
  readonly #emit: (progress: MeteredProgress) => void;
  readonly #now: () => number;
  readonly #startedAt: number;
  #samples: { readonly at: number; readonly done: number }[] = [];
  #last: ProgressUpdate | null = null;
  #pending: ProgressUpdate | null = null;
  #emittedAt = -Infinity;
  #timer: NodeJS.Timeout | undefined;

  constructor(emit: (progress: MeteredProgress) => void, now: () => number) {
    this.#emit = emit;
    this.#now = now;
    this.#startedAt = now();
  }

  update(update: ProgressUpdate): void {
    this.#sample(update);
    this.#pending = update;
    const waitMs = this.#emittedAt + MIN_INTERVAL_MS - this.#now();
    if (waitMs <= 0) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), waitMs).unref();
  }

  /** Shows what is still held back; nothing comes after. */
  finish(): void {
    this.#flush();
  }

  #sample(update: ProgressUpdate): void {
    const last = this.#last;
    const isSamePhase = last?.unit === update.unit && last.total === update.total;
    if (!isSamePhase || update.done < last.done) {
      this.#samples = []; // another phase of the stage: its rate says nothing of this one's
    }
    this.#last = update;
    const at = this.#now();
    this.#samples.push({ at, done: update.done });
    // One sample in MIN_INTERVAL_MS is plenty for a rate: the last but one goes when it is too close.
    const [before, previous] = [this.#samples.at(-3), this.#samples.at(-2)];
    if (before !== undefined && previous !== undefined) {
      if (previous.at - before.at < MIN_INTERVAL_MS) this.#samples.splice(-2, 1);
    }
    while (this.#samples.length > 2 && at - (this.#samples[0]?.at ?? at) > WINDOW_MS) {
      this.#samples.shift();
    }
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const update = this.#pending;
    if (update === null) return;
    this.#pending = null;
    this.#emittedAt = this.#now();
    const unitsPerSecond = update.unitsPerSecond ?? this.#rate();
    const byRate =
      unitsPerSecond === undefined || update.total === undefined
        ? undefined
        : (Math.max(0, update.total - update.done) / unitsPerSecond) * 1000;
    const remainingMs = update.remainingMs ?? byRate;
    this.#emit({
      ...update,
      elapsedMs: this.#emittedAt - this.#startedAt,
      ...(unitsPerSecond === undefined ? {} : { unitsPerSecond }),
      ...(remainingMs === undefined ? {} : { remainingMs }),
    });
  }

  #rate(): number | undefined {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined) return undefined;
    const seconds = (last.at - first.at) / 1000;
    const done = last.done - first.done;
    // Below half a second a rate is noise.
    return seconds >= 0.5 && done > 0 ? done / seconds : undefined;
  }
}
