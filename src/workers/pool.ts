import { Piscina } from 'piscina';

/** A fixed set of threads that all run one task file. */
export interface WorkerPool<Request, Response> {
  run(
    request: Request,
    options?: { signal?: AbortSignal; transfer?: ArrayBuffer[] },
  ): Promise<Response>;
  close(): Promise<void>;
}

/**
 * The only place that makes threads. `task` is a file name in `tasks/` without extension; the file's
 * export `run` takes the request (plain data) and returns the response. Threads are started at once
 * and kept, so that no timing ever includes a start.
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
  return {
    run: (request, options = {}) =>
      pool.run(request, {
        ...(options.signal === undefined ? {} : { signal: options.signal }),
        ...(options.transfer === undefined ? {} : { transferList: options.transfer }),
      }) as Promise<Response>,
    // A task that is still running when the run was aborted is stopped with its thread.
    close: () => pool.destroy(),
  };
}
