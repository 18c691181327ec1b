import { readFile } from 'node:fs/promises';
import type { Pipeline } from '../pipeline/spec.ts';
import { writeFileAtomic } from '../store/atomic-write.ts';
import { formatPipelineLock, pipelineLockPath } from '../store/lock-file.ts';
import type { LockedStage, PipelineLock } from '../store/pipeline-lock.ts';
import type { StageResult } from '../store/stage-result.ts';
import { isAbsent } from '../store/system-error.ts';

/** A pipeline of many quick stages would write little else, were each to write the whole file. */
const PAUSE_MS = 1000;
/** A file that takes long to write is written seldom: this many times its time goes by in between. */
const PAUSE_FACTOR = 10;

/**
 * Keeps the pipeline's lock file in step with the run, about a second behind; a file that would not change
 * is not written. What a killed run did not write yet the next one does: the results are in the store.
 */
export class LockRecorder {
  readonly #pipeline: Pipeline;
  readonly #stages: Map<string, LockedStage>;
  #writing: Promise<void> = Promise.resolve();
  #nextWriteAt = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `dropUnknown`: forget stages the pipeline no longer has, which a partial run must not do. */
  constructor(pipeline: Pipeline, before: PipelineLock | null, dropUnknown: boolean) {
    this.#pipeline = pipeline;
    const known = new Set<string>(pipeline.graph.nodes.keys());
    this.#stages = new Map(
      Object.entries(before?.stages ?? {}).filter(([id]) => !dropUnknown || known.has(id)),
    );
  }

  /** Notes a stage's result; the file is written now or, when it just was, a little later. */
  async record(stageId: string, result: StageResult): Promise<void> {
    this.#stages.set(stageId, lockedStageOf(result));
    if (this.#timer !== undefined) return;
    const waitMs = this.#nextWriteAt - performance.now();
    if (waitMs <= 0) await this.write();
    // What fails then fails again in the last write of the run, which is awaited.
    else this.#timer = setTimeout(() => void this.write().catch(() => undefined), waitMs).unref();
  }

  /** Writes the file when its text differs; one write at a time, in order. A run ends with it. */
  async write(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#nextWriteAt = performance.now() + PAUSE_MS;
    const next = this.#writing.then(() => this.#writeNow());
    this.#writing = next.catch(() => undefined); // whoever awaits `next` gets the error
    await next;
  }

  /** Whether the file says already what it should. */
  isCurrent(): Promise<boolean> {
    return this.#says(this.#text());
  }

  async #says(text: string): Promise<boolean> {
    try {
      return (await readFile(this.#path, 'utf8')) === text;
    } catch (error) {
      if (isAbsent(error)) return false;
      throw error;
    }
  }

  async #writeNow(): Promise<void> {
    const startedAt = performance.now();
    const text = this.#text();
    if (!(await this.#says(text))) await writeFileAtomic(this.#path, text);
    const endedAt = performance.now();
    this.#nextWriteAt = endedAt + Math.max(PAUSE_MS, PAUSE_FACTOR * (endedAt - startedAt));
  }

  get #path(): string {
    return pipelineLockPath(this.#pipeline.projectRoot, this.#pipeline.name);
  }

  #text(): string {
    return formatPipelineLock({
      format: 1,
      pipeline: this.#pipeline.name,
      profile: this.#pipeline.profile,
      stages: Object.fromEntries(this.#stages),
    });
  }
}

function lockedStageOf(result: StageResult): LockedStage {
  const { key, kind, version, parameters, inputs, runtimes, source, machine, outputs, metrics } =
    result;
  return {
    key,
    kind,
    version,
    parameters,
    inputs,
    runtimes,
    ...(source === undefined ? {} : { source }),
    ...(machine === undefined ? {} : { machine }),
    outputs,
    metrics,
  };
}
