import { readFile } from 'node:fs/promises';
import type { Pipeline } from '../pipeline/spec.ts';
import { writeFileAtomic } from '../store/atomic-write.ts';
import { formatPipelineLock, pipelineLockPath } from '../store/lock-file.ts';
import type { LockedStage, PipelineLock } from '../store/pipeline-lock.ts';
import type { StageResult } from '../store/stage-result.ts';
import { isAbsent } from '../store/system-error.ts';

/** Keeps the pipeline's lock file in step with the run; a file that would not change is not written. */
export class LockRecorder {
  readonly #pipeline: Pipeline;
  readonly #stages: Map<string, LockedStage>;
  #writing: Promise<void> = Promise.resolve();

  /** `dropUnknown`: forget stages the pipeline no longer has, which a partial run must not do. */
  constructor(pipeline: Pipeline, before: PipelineLock | null, dropUnknown: boolean) {
    this.#pipeline = pipeline;
    const known = new Set<string>(pipeline.graph.nodes.keys());
    this.#stages = new Map(
      Object.entries(before?.stages ?? {}).filter(([id]) => !dropUnknown || known.has(id)),
    );
  }

  /** Notes a stage's result and writes the file. */
  async record(stageId: string, result: StageResult): Promise<void> {
    this.#stages.set(stageId, lockedStageOf(result));
    await this.write();
  }

  /** Writes the file when its text differs; one write at a time, in order. */
  async write(): Promise<void> {
    const next = this.#writing.then(() => this.#writeNow());
    this.#writing = next.catch(() => undefined); // whoever awaits `next` gets the error
    await next;
  }

  /** Whether the file says already what it should. */
  async isCurrent(): Promise<boolean> {
    try {
      return (await readFile(this.#path, 'utf8')) === this.#text();
    } catch (error) {
      if (isAbsent(error)) return false;
      throw error;
    }
  }

  async #writeNow(): Promise<void> {
    if (!(await this.isCurrent())) await writeFileAtomic(this.#path, this.#text());
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
