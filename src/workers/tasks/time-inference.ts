import {
  SETTLING_RUN_COUNT,
  SUBJECTS,
  type Block,
  type Subject,
} from '../../benchmark/protocol.ts';
import type { NetworkInput } from '../../data/network-input.ts';
import { StageError } from '../../diagnostics/errors.ts';
import { openOnnxSession, type OnnxSession, type OnnxTensor } from '../../runtime/onnx-session.ts';
import { settleTask, type TaskResult } from '../task-result.ts';

/** The whole protocol of one worker; all workers get the same and keep step block by block. */
export interface TimeInferenceRequest {
  readonly modelPaths: Readonly<Record<Subject, string>>;
  readonly intraOpThreads: number;
  /** One image each, in the form the subject takes; run n takes input n modulo their number. */
  readonly inputs: Readonly<Record<Subject, readonly NetworkInput[]>>;
  readonly warmupRuns: number;
  readonly blocks: readonly Block[];
  readonly workerCount: number;
  /** Int32 [4], shared by all workers: see `CELLS`. */
  readonly shared: SharedArrayBuffer;
}

/** Cells of `shared`. `stop` is set from outside: a thread must not be ended in the middle of a run. */
export const CELLS = { arrivals: 0, failures: 1, timedRuns: 2, stop: 3 } as const;

export interface TimedRun {
  readonly subject: Subject;
  readonly pair: number;
  readonly ms: number;
}
export type TimeInferenceResponse = TaskResult<readonly TimedRun[]>;

/** Times `session.run` inside the worker, so that no message or queue is part of a latency. */
export function run(request: TimeInferenceRequest): Promise<TimeInferenceResponse> {
  return settleTask(async () => {
    const cells = new Int32Array(request.shared);
    try {
      return await timeBlocks(request, cells);
    } catch (error) {
      // The others wait for this worker at the next block: let them go.
      Atomics.add(cells, CELLS.failures, 1);
      Atomics.notify(cells, CELLS.arrivals);
      throw error;
    }
  });
}

async function timeBlocks(request: TimeInferenceRequest, cells: Int32Array): Promise<TimedRun[]> {
  const sessions = {
    baseline: await openSession(request, 'baseline'),
    model: await openSession(request, 'model'),
  };
  const { inputs, workerCount } = request;
  const feedOf = (subject: Subject, index: number): Record<string, OnnxTensor> => ({
    // Whoever asks gives one input at least.
    [sessions[subject].inputNames[0] ?? '']: inputs[subject][index % inputs[subject].length]!,
  });
  for (const subject of SUBJECTS) {
    for (let i = 0; i < request.warmupRuns; i += 1) {
      requireGoingOn(cells);
      await sessions[subject].run(feedOf(subject, i));
    }
  }
  const timedRuns: TimedRun[] = [];
  const runCounts: Record<Subject, number> = { baseline: 0, model: 0 };
  for (const { subject, pair, runCount } of request.blocks) {
    const session = sessions[subject];
    waitForAll(cells, workerCount);
    for (let i = 0; i < SETTLING_RUN_COUNT; i += 1) {
      await session.run(feedOf(subject, runCounts[subject]));
    }
    for (let i = 0; i < runCount; i += 1) {
      requireGoingOn(cells);
      const feed = feedOf(subject, runCounts[subject]);
      const start = process.hrtime.bigint();
      await session.run(feed);
      const ms = Number(process.hrtime.bigint() - start) / 1e6;
      timedRuns.push({ subject, pair, ms });
      runCounts[subject] += 1;
      Atomics.add(cells, CELLS.timedRuns, 1);
    }
  }
  await sessions.baseline.release();
  await sessions.model.release();
  return timedRuns;
}

function openSession(request: TimeInferenceRequest, subject: Subject): Promise<OnnxSession> {
  return openOnnxSession(request.modelPaths[subject], { threadCount: request.intraOpThreads });
}

/** Longer than any single block of a supported network takes. */
const BARRIER_TIMEOUT_MS = 10 * 60 * 1000;

/**
 * Returns when every worker stands before the same block: with several workers each must meet the
 * same competition, all of one subject. `arrivals` only grows, so a fast worker cannot pass twice.
 */
function waitForAll(cells: Int32Array, workerCount: number): void {
  const arrival = Atomics.add(cells, CELLS.arrivals, 1) + 1;
  const target = Math.ceil(arrival / workerCount) * workerCount;
  Atomics.notify(cells, CELLS.arrivals);
  const deadline = Date.now() + BARRIER_TIMEOUT_MS;
  for (;;) {
    const arrivals = Atomics.load(cells, CELLS.arrivals);
    if (arrivals >= target) return;
    requireGoingOn(cells);
    if (Atomics.load(cells, CELLS.failures) > 0) throw stopped('another worker failed');
    if (Date.now() > deadline) throw stopped('another worker did not finish its block in time');
    Atomics.wait(cells, CELLS.arrivals, arrivals, 1000);
  }
}

function requireGoingOn(cells: Int32Array): void {
  if (Atomics.load(cells, CELLS.stop) !== 0) throw stopped('the run was interrupted');
}

function stopped(reason: string): StageError {
  return new StageError({
    code: 'benchmark/worker-stopped',
    message: `a timing worker stopped: ${reason}`,
  });
}
