import { InternalError } from '../diagnostics/errors.ts';
import { garbageCollector } from '../runtime/collect-garbage.ts';
import type { WorkerThreads } from '../workers/pool.ts';
import type { ImageRun } from '../workers/run-image-batches.ts';
import { withThreadsOf } from './image-pass.ts';
import { unwrapTask, type TaskResult } from '../workers/task-result.ts';

export interface RunOverImages<Request, Value> {
  readonly task:
    | 'observe-tensors'
    | 'try-ranges'
    | 'collect-outputs'
    | 'layer-statistics'
    | 'tensor-noise'
    | 'switch-layers';
  readonly run: ImageRun;
  readonly request: (run: ImageRun) => Request;
  /** Called once a chunk, in the order of the images whatever the number of workers. */
  readonly onChunk: (value: Value, imageCount: number) => void;
  /** Images a request, 8 by default; fewer where each takes long. */
  readonly chunkSize?: number;
  readonly workerCount: number;
  /** See `ImagePass`. */
  readonly threads?: WorkerThreads;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Images a request; the chunks do not depend on the number of workers, so no result does either. */
const CHUNK_SIZE = 8;

/** What chunks left behind: a ResNet-50's histograms are 1.2 MB each time, which V8 hardly sees. */
const MOST_GARBAGE_BYTES = 2 ** 26;

/** Runs a task over the images in worker threads, so that the calling thread stays live. */
export async function runOverImages<Request, Value>(
  options: RunOverImages<Request, Value>,
): Promise<void> {
  const { run, chunkSize = CHUNK_SIZE } = options;
  const chunkCount = Math.ceil(run.images.indices.length / chunkSize);
  const workerCount = Math.min(options.workerCount, chunkCount);
  await withThreadsOf({ ...options, workerCount }, (threads) => runOnThreads(options, threads));
}

async function runOnThreads<Request, Value>(
  options: RunOverImages<Request, Value>,
  threads: WorkerThreads,
): Promise<void> {
  const { run, signal, chunkSize = CHUNK_SIZE } = options;
  const { indices } = run.images;
  const chunks: (readonly number[])[] = [];
  for (let start = 0; start < indices.length; start += chunkSize) {
    chunks.push(indices.slice(start, start + chunkSize));
  }
  let done = 0;
  // Only this many requests are under way, so that finished chunks never pile up in memory.
  const pending: Promise<TaskResult<Value>>[] = [];
  const submit = (chunk: readonly number[]): void => {
    const request = options.request({ ...run, images: { ...run.images, indices: chunk } });
    const settings = signal === undefined ? {} : { signal };
    const running = threads.run(options.task, request, settings) as Promise<TaskResult<Value>>;
    running.catch(() => undefined); // awaited below; an earlier failure may leave it unread
    pending.push(running);
  };
  const collect = garbageCollector(MOST_GARBAGE_BYTES);
  const ahead = 2 * threads.threadCount;
  for (const chunk of chunks.slice(0, ahead)) submit(chunk);
  for (const [i, chunk] of chunks.entries()) {
    const running = pending.shift(); // which lets go of its value
    if (running === undefined) throw new InternalError(`chunk ${i} was never started`);
    options.onChunk(unwrapTask(await running), chunk.length);
    collect();
    done += chunk.length;
    options.onProgress?.(done, indices.length);
    const next = chunks[i + ahead];
    if (next !== undefined) submit(next);
  }
}
