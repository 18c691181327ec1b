import { normalizeToNchw, openShardReader } from '../data/image-shards.ts';
import { argmax } from '../metrics/ranking.ts';
import { createSqnrAccumulator } from '../metrics/sqnr.ts';
import { createWorkerPool } from '../workers/pool.ts';
import type { ImageSelection } from '../workers/run-image-batches.ts';
import { unwrapTask } from '../workers/task-result.ts';
import type { CollectRequest } from '../workers/tasks/collect-outputs.ts';
import {
  CELLS,
  type TimeInferenceRequest,
  type TimeInferenceResponse,
} from '../workers/tasks/time-inference.ts';
import { runOverImages } from './run-over-images.ts';

export interface ModelPair {
  readonly floatPath: string;
  readonly quantizedPath: string;
}

export interface Fidelity {
  /** Share of images for which both models put the same class first. */
  readonly agreementFraction: number;
  /** Signal to noise of the first output over all images; null when there is no difference at all. */
  readonly logitsSqnrDb: number | null;
}

export interface CompareOptions extends ModelPair {
  readonly outputName: string;
  readonly images: ImageSelection;
  readonly workerCount: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** How closely the quantized model follows the float model on the images, one image at a time. */
export async function compareOutputs(options: CompareOptions): Promise<Fidelity> {
  const { floatPath, quantizedPath, onProgress, ...shared } = options;
  const total = 2 * options.images.indices.length;
  const reference = await collectRows({
    ...shared,
    modelPath: floatPath,
    onProgress: (done) => onProgress?.(done, total),
  });
  const actual = await collectRows({
    ...shared,
    modelPath: quantizedPath,
    onProgress: (done) => onProgress?.(total / 2 + done, total),
  });
  return fidelityOf(reference, actual);
}

export function fidelityOf(
  reference: readonly Float32Array[],
  actual: readonly Float32Array[],
): Fidelity {
  const sqnr = createSqnrAccumulator();
  let sameCount = 0;
  for (const [i, row] of reference.entries()) {
    const other = actual[i]!; // both models ran the same images
    sqnr.add(row, other);
    if (argmax(row) === argmax(other)) sameCount += 1;
  }
  return { agreementFraction: sameCount / reference.length, logitsSqnrDb: sqnr.finishDb() };
}

export interface CollectRowsOptions {
  readonly modelPath: string;
  readonly outputName: string;
  readonly images: ImageSelection;
  readonly workerCount: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** The named output for every image, as inference gives it: batch 1, optimised graph. */
export async function collectRows(options: CollectRowsOptions): Promise<Float32Array[]> {
  const rows: Float32Array[] = [];
  await runOverImages<CollectRequest, readonly Float32Array[]>({
    ...options,
    task: 'collect-outputs',
    run: {
      modelPath: options.modelPath,
      images: options.images,
      batchSize: 1,
      graphOptimization: 'all',
    },
    request: (run) => ({ run, outputs: [options.outputName] }),
    onChunk: ([values = new Float32Array()], imageCount) => {
      const width = values.length / imageCount;
      for (let n = 0; n < imageCount; n += 1) {
        rows.push(values.subarray(n * width, (n + 1) * width));
      }
    },
  });
  return rows;
}

export interface Timing {
  readonly floatLatencyMs: number;
  readonly latencyMs: number;
  /** Ratio of the two medians. */
  readonly speedup: number;
  /** Ratio of the fastest runs: what a busy machine disturbs least. */
  readonly fastestSpeedup: number;
}

const WARMUP_RUNS = 5;
const BLOCK_PAIRS = 10;
const RUNS_PER_BLOCK = 3;

/** Median latencies of both models on one image, batch 1, one thread, in turns in one worker. */
export async function timeModels(
  { floatPath, quantizedPath }: ModelPair,
  images: ImageSelection,
  signal?: AbortSignal,
): Promise<Timing> {
  const reader = await openShardReader(images.folder);
  const { width, height, normalization } = reader.shards;
  const pixels = new Uint8Array(width * height * 3);
  await reader.read(images.split, images.indices[0] ?? 0, pixels);
  await reader.close();
  const input = new Float32Array(pixels.length); // [1, 3, H, W]
  normalizeToNchw(pixels, 1, width * height, normalization, input);
  const pool = createWorkerPool<TimeInferenceRequest, TimeInferenceResponse>('time-inference', 1);
  try {
    const response = await pool.run(
      {
        modelPaths: { baseline: floatPath, model: quantizedPath },
        intraOpThreads: 1,
        inputs: [input],
        inputDims: [1, 3, height, width],
        warmupRuns: WARMUP_RUNS,
        blocks: Array.from({ length: 2 * BLOCK_PAIRS }, (_, i) => ({
          pair: Math.floor(i / 2),
          subject: i % 2 === 0 ? ('baseline' as const) : ('model' as const),
          runCount: RUNS_PER_BLOCK,
        })),
        workerCount: 1,
        shared: new SharedArrayBuffer(Object.keys(CELLS).length * Int32Array.BYTES_PER_ELEMENT),
      },
      signal === undefined ? {} : { signal },
    );
    const runs = unwrapTask(response);
    const sortedMs = (subject: 'baseline' | 'model'): number[] =>
      runs
        .filter((run) => run.subject === subject)
        .map(({ ms }) => ms)
        .sort((a, b) => a - b);
    const floatMs = sortedMs('baseline');
    const quantizedMs = sortedMs('model');
    // Every subject has runs.
    const floatLatencyMs = floatMs[Math.floor(floatMs.length / 2)]!;
    const latencyMs = quantizedMs[Math.floor(quantizedMs.length / 2)]!;
    return {
      floatLatencyMs,
      latencyMs,
      speedup: floatLatencyMs / latencyMs,
      fastestSpeedup: floatMs[0]! / quantizedMs[0]!,
    };
  } finally {
    await pool.close();
  }
}
