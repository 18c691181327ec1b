import { Piscina } from 'piscina';
import { InternalError, InterruptedError } from '../diagnostics/errors.ts';

/** A fixed set of threads that all run one task file. */
export interface WorkerPool<Request, Response> {
  /**
   * Runs one task; more than there are threads wait in order. When `signal` is aborted the promise
   * rejects with `InterruptedError` at once, but a task that runs already goes on to its end: a long
   * task needs a way of its own to be told (shared memory).
   */
  run(
    request: Request,
    options?: { signal?: AbortSignal; transfer?: ArrayBuffer[] },
  ): Promise<Response>;
  /** Drops waiting tasks, waits for running ones, then ends the threads. */
  close(): Promise<void>;
}

/**
 * The only place that makes threads. `task` is a file name in `tasks/` without extension; the file's
 * export `run` takes the request (plain data) and returns the response. Threads are started at once
 * and kept, so that no timing ever includes a start.
 *
 * A thread is never ended in the middle of a task: onnxruntime-node then aborts the whole process
 * (an uncaught Napi::Error). Piscina ends the thread of a running task when its signal is aborted,
 * and its `close` may miscount the running ones, so waiting and aborting are done here.
 */
export function createWorkerPool<Request, Response>(
  task: string,
  threadCount: number,
): WorkerPool<Request, Response> {
  const pool = new Piscina({
    // A string, not an import: TypeScript does not rewrite it, and Piscina loads the compiled file.
    filename: new URL(`./tasks/${task}.js`, import.meta.url).href,
    name: 'run',
    minThreads: threadCount,
    maxThreads: threadCount,
    idleTimeout: Infinity,
    concurrentTasksPerWorker: 1,
    atomics: 'disabled',
  });
  const waiting: WaitingTask[] = [];
  const running = new Set<Promise<unknown>>();
  let isClosed = false;

  const startNext = (): void => {
    while (running.size < threadCount) {
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
    run: (request, { signal, transfer } = {}) =>
      new Promise<Response>((resolve, reject) => {
        if (signal?.aborted === true) return reject(new InterruptedError());
        if (isClosed) return reject(closedEarly(task));
        const entry: WaitingTask = {
          async start() {
            try {
              const options = transfer === undefined ? {} : { transferList: transfer };
              resolve((await pool.run(request, options)) as Response);
            } catch (error) {
              // Whatever a task throws is passed on as it is.
              // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
              reject(error);
            } finally {
              signal?.removeEventListener('abort', onAbort);
            }
          },
          drop(error) {
            signal?.removeEventListener('abort', onAbort);
            reject(error);
          },
        };
        const onAbort = (): void => {
          const position = waiting.indexOf(entry);
          if (position >= 0) waiting.splice(position, 1);
          entry.drop(new InterruptedError());
        };
        signal?.addEventListener('abort', onAbort, { once: true });
        waiting.push(entry);
        startNext();
      }),
    async close() {
      isClosed = true;
      for (const entry of waiting.splice(0)) entry.drop(closedEarly(task));
      await Promise.all(running);
      await pool.destroy();
    },
  };
}

interface WaitingTask {
  /** Never rejects: the outcome goes to whoever called `run`. */
  start(): Promise<void>;
  drop(error: Error): void;
}

function closedEarly(task: string): InternalError {
  return new InternalError(`the pool for ${task} was closed before all of its tasks had run`);
}
