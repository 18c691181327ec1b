import '../runtime/no-telemetry.ts';
import { Piscina } from 'piscina';
import { InternalError, InterruptedError } from '../diagnostics/errors.ts';

export interface RunOptions {
  readonly signal?: AbortSignal;
  readonly transfer?: ArrayBuffer[];
}

/** A fixed set of threads that all run one task file. */
export interface WorkerPool<Request, Response> {
  /** See `WorkerThreads`. */
  run(request: Request, options?: RunOptions): Promise<Response>;
  close(): Promise<void>;
}

/** A fixed set of threads that run any task file. */
export interface WorkerThreads {
  readonly threadCount: number;
  /**
   * Runs one task; more than there are threads wait in order. When `signal` is aborted the promise
   * rejects with `InterruptedError` at once, but a task that runs already goes on to its end: a long
   * task needs a way of its own to be told (shared memory).
   */
  run(task: string, request: unknown, options?: RunOptions): Promise<unknown>;
  /** Drops waiting tasks, waits for running ones, then ends the threads. */
  close(): Promise<void>;
}

/** Threads that all run `task`. */
export function createWorkerPool<Request, Response>(
  task: string,
  threadCount: number,
  tasksPerThread = 1,
): WorkerPool<Request, Response> {
  const threads = createWorkerThreads(threadCount, tasksPerThread);
  return {
    run: async (request, options) => (await threads.run(task, request, options)) as Response,
    close: () => threads.close(),
  };
}

/** `use` with threads that end after it. */
export async function withWorkerThreads<T>(
  threadCount: number,
  use: (threads: WorkerThreads) => Promise<T>,
): Promise<T> {
  const threads = createWorkerThreads(threadCount);
  try {
    return await use(threads);
  } finally {
    await threads.close();
  }
}

/**
 * A task without a request, once a thread as long as none has ended before the last is handed out. Never
 * fails: threads that can run nothing any more fail at the next task that matters.
 */
export async function runInEachThread(threads: WorkerThreads, task: string): Promise<void> {
  const tasks = Array.from({ length: threads.threadCount }, () => threads.run(task, null));
  await Promise.allSettled(tasks);
}

/**
 * The only place that makes threads. A task is a file name in `tasks/` without extension; the file's
 * export `run` takes the request (plain data) and returns the response. Threads are started at once
 * and kept, so that no timing ever includes a start. `tasksPerThread` above one is for tasks that
 * mostly wait for native threads of their own, as sharp's do.
 *
 * A thread is never ended in the middle of a task: onnxruntime-node then aborts the whole process
 * (an uncaught Napi::Error). Piscina ends the thread of a running task when its signal is aborted,
 * and its `close` may miscount the running ones, so waiting and aborting are done here.
 */
export function createWorkerThreads(threadCount: number, tasksPerThread = 1): WorkerThreads {
  const mostRunning = threadCount * tasksPerThread;
  const pool = new Piscina({
    name: 'run',
    minThreads: threadCount,
    maxThreads: threadCount,
    idleTimeout: Infinity,
    concurrentTasksPerWorker: tasksPerThread,
    atomics: 'disabled',
  });
  const waiting: PendingTask[] = [];
  const running = new Set<Promise<unknown>>();
  const abortGroups = createAbortGroups((task) => {
    const position = waiting.indexOf(task);
    if (position >= 0) waiting.splice(position, 1);
    task.drop(new InterruptedError());
  });
  let isClosed = false;

  const startNext = (): void => {
    while (running.size < mostRunning) {
      const next = waiting.shift();
      if (next === undefined) return;
      const execution = next.start().finally(() => {
        running.delete(execution);
        startNext();
      });
      running.add(execution);
    }
  };

  return {
    threadCount,
    run: (task, request, { signal, transfer } = {}) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted === true) return reject(new InterruptedError());
        if (isClosed) return reject(closedEarly());
        const entry: PendingTask = {
          async start() {
            try {
              // A string, not an import: TypeScript does not rewrite it, and Piscina loads the compiled file.
              const { href: filename } = new URL(`./tasks/${task}.js`, import.meta.url);
              const transferred = transfer === undefined ? {} : { transferList: transfer };
              resolve((await pool.run(request, { filename, ...transferred })) as unknown);
            } catch (error) {
              // Whatever a task throws is passed on as it is.
              // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
              reject(error);
            } finally {
              abortGroups.leave(entry, signal);
            }
          },
          drop(error) {
            abortGroups.leave(entry, signal);
            reject(error);
          },
        };
        abortGroups.join(entry, signal);
        waiting.push(entry);
        startNext();
      }),
    async close() {
      isClosed = true;
      for (const entry of waiting.splice(0)) entry.drop(closedEarly());
      await Promise.all(running);
      await pool.destroy();
    },
  };
}

interface PendingTask {
  /** Never rejects: the outcome goes to whoever called `run`. */
  start(): Promise<void>;
  drop(error: Error): void;
}

/** One listener a signal, however many tasks wait for it: Node warns of more than ten. */
function createAbortGroups(onAborted: (task: PendingTask) => void): {
  join(task: PendingTask, signal: AbortSignal | undefined): void;
  leave(task: PendingTask, signal: AbortSignal | undefined): void;
} {
  const groups = new Map<AbortSignal, { tasks: Set<PendingTask>; listener: () => void }>();
  return {
    join(task, signal) {
      if (signal === undefined) return;
      let group = groups.get(signal);
      if (group === undefined) {
        const tasks = new Set<PendingTask>();
        // A copy, because every task leaves the group when it is dropped.
        const listener = (): void => [...tasks].forEach(onAborted);
        group = { tasks, listener };
        groups.set(signal, group);
        signal.addEventListener('abort', listener, { once: true });
      }
      group.tasks.add(task);
    },
    leave(task, signal) {
      const group = signal === undefined ? undefined : groups.get(signal);
      if (signal === undefined || group === undefined) return;
      group.tasks.delete(task);
      if (group.tasks.size > 0) return;
      groups.delete(signal);
      signal.removeEventListener('abort', group.listener);
    },
  };
}

function closedEarly(): InternalError {
  return new InternalError('worker threads were closed before all of their tasks had run');
}
