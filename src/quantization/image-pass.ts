import { runInEachThread, withWorkerThreads, type WorkerThreads } from '../workers/pool.ts';
import type { ImageSelection } from '../workers/run-image-batches.ts';

/** What a pass of a model over images in worker threads needs. */
export interface ImagePass {
  readonly images: ImageSelection;
  readonly workerCount: number;
  /** To run on; absent: threads of the pass's own, which take a tenth of a second to start. */
  readonly threads?: WorkerThreads;
  /** A folder for models with extra outputs; left as it was. */
  readonly scratchPath: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * `use` with the threads of the pass, or with its own for as long as it takes: no more than there are
 * images, since more could never have one each.
 */
export function withThreadsOf<T>(
  { threads, workerCount, images }: Pick<ImagePass, 'threads' | 'workerCount'> & Partial<ImagePass>,
  use: (threads: WorkerThreads) => Promise<T>,
): Promise<T> {
  if (threads !== undefined) return use(threads);
  const mostThreads = Math.max(1, images?.indices.length ?? workerCount);
  return withWorkerThreads(Math.min(workerCount, mostThreads), (own) => {
    void runInEachThread(own, 'load-passes'); // while the caller makes the model
    return use(own);
  });
}
