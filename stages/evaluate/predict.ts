import { imageByteCount, openShardReader, type ShardReader } from '../../src/data/image-shards.ts';
import type { Split } from '../../src/data/dataset-index.ts';
import { InternalError, InterruptedError, OnnxError } from '../../src/diagnostics/errors.ts';
import type { ProgressUpdate } from '../../src/stage/definition.ts';
import { createWorkerPool, type WorkerPool } from '../../src/workers/pool.ts';
import type { InferRequest, InferResponse } from '../../src/workers/tasks/infer.ts';
import { unwrapTask } from '../../src/workers/task-result.ts';

/** What each model says of one image. */
export interface Prediction {
  readonly imageId: string;
  readonly label: number;
  /** Class scores [C] of each model, in the order of `modelPaths`. */
  readonly scores: readonly Float32Array[];
}

export interface PredictOptions {
  /** Each model takes [N, 3, H, W] of the shards' size. */
  readonly modelPaths: readonly string[];
  readonly shardsPath: string;
  readonly split: Split;
  /** Every batch has this size; the last is padded with its first image when `padLastBatch` is set. */
  readonly batchSize: number;
  readonly padLastBatch: boolean;
  readonly workerCount: number;
  readonly signal: AbortSignal;
  progress(update: ProgressUpdate): void;
}

/**
 * Runs the models over the distinct images of a split, in their stored order. Batches are the same
 * whatever the number of workers, and each is computed on one thread, so the scores are too.
 */
export async function predictSplit(options: PredictOptions): Promise<Prediction[]> {
  const reader = await openShardReader(options.shardsPath);
  const pool = createWorkerPool<InferRequest, InferResponse>('infer', options.workerCount);
  try {
    return await predictWith(options, reader, pool);
  } catch (error) {
    if (options.signal.aborted) throw new InterruptedError();
    throw error;
  } finally {
    await pool.close();
    await reader.close();
  }
}

async function predictWith(
  options: PredictOptions,
  reader: ShardReader,
  pool: WorkerPool<InferRequest, InferResponse>,
): Promise<Prediction[]> {
  const { shards } = reader;
  const { entries } = shards.splits[options.split];
  const positions = entries.flatMap(({ copy }, position) => (copy === 0 ? [position] : []));
  const batches: number[][] = [];
  for (let start = 0; start < positions.length; start += options.batchSize) {
    batches.push(positions.slice(start, start + options.batchSize));
  }
  const byteCount = imageByteCount(shards);
  const results = new Map<number, Prediction[]>();
  let nextBatch = 0;
  let done = 0;
  let failed = false;

  const runBatch = async (batch: readonly number[]): Promise<Prediction[]> => {
    const imageCount = options.padLastBatch ? options.batchSize : batch.length;
    const pixelsNhwc = new Uint8Array(imageCount * byteCount); // [N, H, W, 3]
    for (const [i, position] of batch.entries()) {
      await reader.read(options.split, position, pixelsNhwc, i * byteCount);
    }
    const { height, width, normalization } = shards;
    const { modelPaths } = options;
    const request = { modelPaths, pixelsNhwc, imageCount, height, width, normalization };
    const transfer = [pixelsNhwc.buffer];
    const outputs = unwrapTask(await pool.run(request, { signal: options.signal, transfer }));
    return batch.map((position, i) => {
      const entry = entries[position]!; // positions were taken from entries
      const scores = outputs.map((output, m) => {
        return scoresOfImage(output, { imageCount, index: i, path: modelPaths[m] ?? '' });
      });
      return { imageId: entry.id, label: entry.label, scores };
    });
  };

  // One more lane than workers, so that the next batch is read while all of them compute.
  const lane = async (): Promise<void> => {
    while (nextBatch < batches.length && !failed) {
      const index = nextBatch;
      nextBatch += 1;
      try {
        results.set(index, await runBatch(batches[index]!)); // index < batches.length
      } catch (error) {
        failed = true;
        throw error;
      }
      done += batches[index]!.length;
      options.progress({ done, total: positions.length, unit: 'images' });
    }
  };
  const lanes = Array.from({ length: options.workerCount + 1 }, lane);
  // All lanes end before the first error is passed on: none may read from a reader that is closed.
  for (const outcome of await Promise.allSettled(lanes)) {
    if (outcome.status === 'rejected') throw outcome.reason;
  }
  return batches.flatMap((_, index) => {
    const predictions = results.get(index);
    if (predictions === undefined) throw new InternalError(`batch ${index} was not computed`);
    return predictions;
  });
}

/** Row `index` of [N, C]. */
function scoresOfImage(
  output: Float32Array,
  { imageCount, index, path }: { imageCount: number; index: number; path: string },
): Float32Array {
  const classCount = output.length / imageCount;
  if (!Number.isInteger(classCount) || classCount === 0) {
    throw new OnnxError({
      code: 'onnx/not-a-classifier',
      message: `${path}: ${output.length} scores for ${imageCount} images; expected one row of class scores an image`,
      hint: 'export the model with class scores [N, C] as its first output',
    });
  }
  return output.subarray(index * classCount, (index + 1) * classCount);
}
