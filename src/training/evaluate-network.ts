import { setImmediate } from 'node:timers/promises';
import type { Split } from '../data/dataset-index.ts';
import type { ImageShards } from '../data/image-shards.ts';
import { InterruptedError } from '../diagnostics/errors.ts';
import { argmax } from '../metrics/ranking.ts';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import { NO_CHANGES, type BatchSource } from './batches.ts';
import type { NetworkRunner } from './network-runner.ts';

export interface Evaluation {
  readonly imageCount: number;
  /** Mean cross-entropy, without label smoothing. */
  readonly loss: number;
  readonly top1Fraction: number;
}

export interface EvaluationOptions {
  readonly tf: Tensorflow;
  readonly runner: NetworkRunner;
  readonly source: BatchSource;
  readonly shards: ImageShards;
  readonly split: Split;
  readonly batchSize: number;
  readonly signal: AbortSignal;
}

/** Positions of the unchanged copies in a split: replicas are for training only. */
export function firstCopies(shards: ImageShards, split: Split): number[] {
  return shards.splits[split].entries.flatMap(({ copy }, index) => (copy === 0 ? [index] : []));
}

/** Loss and accuracy on the unchanged images of a split. */
export async function evaluateNetwork(options: EvaluationOptions): Promise<Evaluation> {
  const { tf, runner, source, shards, split, batchSize, signal } = options;
  const indices = firstCopies(shards, split);
  let lossSum = 0;
  let correctCount = 0;
  for (let start = 0; start < indices.length; start += batchSize) {
    if (signal.aborted) throw new InterruptedError();
    const batchIndices = indices.slice(start, start + batchSize);
    const batch = await source.request(split, batchIndices, NO_CHANGES, '').finish();
    const logits = tf.tidy(() =>
      runner
        .predict(
          tf.tensor4d(batch.imagesNhwc, [batchIndices.length, shards.height, shards.width, 3]),
        )
        .dataSync<'float32'>(),
    );
    const classCount = shards.classes.length;
    batch.labels.forEach((label, n) => {
      const row = logits.subarray(n * classCount, (n + 1) * classCount);
      lossSum += crossEntropy(row, label);
      if (argmax(row) === label) correctCount += 1;
    });
    await setImmediate();
  }
  const imageCount = indices.length;
  return { imageCount, loss: lossSum / imageCount, top1Fraction: correctCount / imageCount };
}

/** log(sum(exp(x))) - x[label], shifted by the largest logit so that nothing overflows. */
function crossEntropy(logits: Float32Array, label: number): number {
  const largest = logits.reduce((most, value) => Math.max(most, value), -Infinity);
  const sum = logits.reduce((total, value) => total + Math.exp(value - largest), 0);
  return Math.log(sum) + largest - (logits[label] ?? NaN);
}
