import type { Block, LatencySample, Subject } from '../../src/benchmark/protocol.ts';
import { InterruptedError } from '../../src/diagnostics/errors.ts';
import type { ProgressUpdate } from '../../src/stage/definition.ts';
import { createWorkerPool } from '../../src/workers/pool.ts';
import {
  CELLS,
  type TimedRun,
  type TimeInferenceRequest,
  type TimeInferenceResponse,
} from '../../src/workers/tasks/time-inference.ts';
import { unwrapTask } from '../../src/workers/task-result.ts';
import type { BenchmarkInputs } from './inputs.ts';

export interface TimeSubjectsOptions {
  readonly modelPaths: Readonly<Record<Subject, string>>;
  readonly inputs: BenchmarkInputs;
  readonly blocks: readonly Block[];
  readonly warmupRuns: number;
  readonly workerCount: number;
  readonly intraOpThreads: number;
  readonly signal: AbortSignal;
  progress(update: ProgressUpdate): void;
}

/** Workers tell their progress through shared memory; a message a run would disturb the timing. */
const PROGRESS_INTERVAL_MS = 500;

/** Every timed run of every worker, in the order it happened. */
export async function timeSubjects(options: TimeSubjectsOptions): Promise<LatencySample[]> {
  const { workerCount, blocks } = options;
  const shared = new SharedArrayBuffer(Object.keys(CELLS).length * Int32Array.BYTES_PER_ELEMENT);
  const cells = new Int32Array(shared);
  const total = workerCount * blocks.reduce((sum, { runCount }) => sum + runCount, 0);
  const request: TimeInferenceRequest = {
    modelPaths: options.modelPaths,
    intraOpThreads: options.intraOpThreads,
    inputs: options.inputs.inputs,
    warmupRuns: options.warmupRuns,
    blocks,
    workerCount,
    shared,
  };
  const reportProgress = (): void => {
    options.progress({ done: Atomics.load(cells, CELLS.timedRuns), total, unit: 'timed runs' });
  };
  const stopWorkers = (): void => {
    Atomics.store(cells, CELLS.stop, 1);
    Atomics.notify(cells, CELLS.arrivals);
  };
  options.signal.addEventListener('abort', stopWorkers, { once: true });
  const timer = setInterval(reportProgress, PROGRESS_INTERVAL_MS);
  const pool = createWorkerPool<TimeInferenceRequest, TimeInferenceResponse>(
    'time-inference',
    workerCount,
  );
  try {
    if (options.signal.aborted) throw new InterruptedError();
    // A task ends only when all have passed the last block, so each goes to a worker of its own.
    const runs = Array.from({ length: workerCount }, () =>
      pool.run(request, { signal: options.signal }),
    );
    const responses = await Promise.all(runs);
    reportProgress();
    return responses.flatMap((response, worker) => samplesOf(unwrapTask(response), worker));
  } catch (error) {
    if (options.signal.aborted) throw new InterruptedError();
    throw error;
  } finally {
    clearInterval(timer);
    options.signal.removeEventListener('abort', stopWorkers);
    await pool.close();
  }
}

function samplesOf(timedRuns: readonly TimedRun[], worker: number): LatencySample[] {
  const runCounts: Record<Subject, number> = { baseline: 0, model: 0 };
  return timedRuns.map(({ subject, pair, ms }) => {
    const run = runCounts[subject];
    runCounts[subject] += 1;
    return { subject, worker, block: pair, run, ms };
  });
}
