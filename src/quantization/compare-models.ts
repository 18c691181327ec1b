import { inputFormOf, type NetworkInput } from '../data/network-input.ts';
import { openOnnxSession } from '../runtime/onnx-session.ts';
import { createWorkerPool } from '../workers/pool.ts';
import type { ImageSelection } from '../workers/run-image-batches.ts';
import { unwrapTask } from '../workers/task-result.ts';
import type { CollectRequest } from '../workers/tasks/collect-outputs.ts';
import {
  CELLS,
  type TimeInferenceRequest,
  type TimeInferenceResponse,
} from '../workers/tasks/time-inference.ts';
import type { ScoreKind } from './class-scores.ts';
import { fidelityOf, type Fidelity } from './fidelity.ts';
import { readFirstImage } from './first-image.ts';
import { runOverImages } from './run-over-images.ts';

export interface ModelPair {
  readonly floatPath: string;
  readonly quantizedPath: string;
}

export interface CompareOptions extends ModelPair {
  readonly outputName: string;
  readonly images: ImageSelection;
  /** Class of each image of the selection. */
  readonly labels?: readonly number[];
  /** What the output holds; `logits` by default. */
  readonly scores?: ScoreKind;
  readonly workerCount: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** How closely the quantized model follows the float model on the images, one image at a time. */
export async function compareOutputs(options: CompareOptions): Promise<Fidelity> {
  const { floatPath, quantizedPath, onProgress, labels, scores = 'logits', ...shared } = options;
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
  return fidelityOf(reference, actual, { scores, ...(labels === undefined ? {} : { labels }) });
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

/** The first of the images in the form the model takes. */
export async function firstInput(modelPath: string, images: ImageSelection): Promise<NetworkInput> {
  const session = await openOnnxSession(modelPath, { threadCount: 1 });
  const form = inputFormOf(session.inputTypes[0] ?? '', session.inputShapes[0] ?? []);
  await session.release();
  return readFirstImage(images, form);
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
  const inputs = {
    baseline: [await firstInput(floatPath, images)],
    model: [await firstInput(quantizedPath, images)],
  };
  const pool = createWorkerPool<TimeInferenceRequest, TimeInferenceResponse>('time-inference', 1);
  try {
    const response = await pool.run(
      {
        modelPaths: { baseline: floatPath, model: quantizedPath },
        intraOpThreads: 1,
        inputs,
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
