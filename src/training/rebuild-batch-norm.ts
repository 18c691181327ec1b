import { setImmediate } from 'node:timers/promises';
import type { ImageShards } from '../data/image-shards.ts';
import { InterruptedError } from '../diagnostics/errors.ts';
import { BATCH_NORM_EPSILON, type ConvolutionLayer } from '../models/network.ts';
import { createRandom, shuffled } from '../numeric/random.ts';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import { NO_CHANGES, type BatchSource } from './batches.ts';
import { firstCopies } from './evaluate-network.ts';
import type { NetworkRunner } from './network-runner.ts';

/** Enough for channel statistics: every layer sees at least 49 positions of each image at 224 px. */
const IMAGE_LIMIT = 256;

export interface RebuildOptions {
  readonly tf: Tensorflow;
  readonly runner: NetworkRunner;
  readonly source: BatchSource;
  readonly shards: ImageShards;
  readonly batchSize: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  onImages(done: number, total: number): void;
}

/**
 * Gives batch norm to a network whose weights have it folded, without changing its function. Each batch
 * norm holds the folded bias b as beta and identity statistics when this is called. With z the
 * convolution's output on training images: mean = E[z], variance = Var[z],
 * gamma = sqrt(Var[z] + epsilon), beta = b + E[z], so that gamma (z - mean) / sqrt(variance + epsilon) + beta = z + b.
 * @throws InterruptedError at the next batch after an abort; nothing is changed then.
 */
export async function rebuildBatchNorm(options: RebuildOptions): Promise<void> {
  const { tf, runner, source, shards, batchSize, seed, signal } = options;
  const indices = shuffled(
    firstCopies(shards, 'train'),
    createRandom(seed, 'batch-norm-statistics'),
  ).slice(0, IMAGE_LIMIT);
  const sums = new Map<string, ChannelSums>();
  for (let start = 0; start < indices.length; start += batchSize) {
    if (signal.aborted) throw new InterruptedError();
    const batchIndices = indices.slice(start, start + batchSize);
    const { imagesNhwc } = await source.request('train', batchIndices, NO_CHANGES, '').finish();
    tf.tidy(() => {
      const shape = [batchIndices.length, shards.height, shards.width, 3] as const;
      runner.convolutionOutputs(tf.tensor4d(imagesNhwc, [...shape]), (layer, z) => {
        const { mean, variance } = tf.moments(z, [0, 1, 2]);
        addTo(sums, layer, mean.dataSync<'float32'>(), variance.dataSync<'float32'>(), shape[0]);
        tf.dispose([mean, variance]);
      });
    });
    options.onImages(start + batchIndices.length, indices.length);
    await setImmediate();
  }
  for (const [name, channelSums] of sums) setBatchNorm(tf, runner, name, channelSums);
}

interface ChannelSums {
  imageCount: number;
  /** Weighted sums of the batches' E[z] and E[z^2], each [channels]. */
  readonly first: Float64Array;
  readonly second: Float64Array;
}

function addTo(
  sums: Map<string, ChannelSums>,
  { batchNormName }: ConvolutionLayer,
  mean: Float32Array,
  variance: Float32Array,
  imageCount: number,
): void {
  if (batchNormName === null) return;
  const sum = sums.get(batchNormName) ?? {
    imageCount: 0,
    first: new Float64Array(mean.length),
    second: new Float64Array(mean.length),
  };
  sums.set(batchNormName, sum);
  sum.imageCount += imageCount;
  mean.forEach((value, c) => {
    // All four arrays have one element a channel.
    sum.first[c] = sum.first[c]! + imageCount * value;
    sum.second[c] = sum.second[c]! + imageCount * (variance[c]! + value * value);
  });
}

function setBatchNorm(
  tf: Tensorflow,
  runner: NetworkRunner,
  name: string,
  { imageCount, first, second }: ChannelSums,
): void {
  const mean = Float32Array.from(first, (sum) => sum / imageCount);
  const variance = Float32Array.from(second, (sum, c) =>
    Math.max(sum / imageCount - (first[c]! / imageCount) ** 2, 0),
  );
  const gamma = variance.map((value) => Math.sqrt(value + BATCH_NORM_EPSILON));
  const bias = runner.parameters.get(`${name}.bias`)?.dataSync<'float32'>() ?? mean;
  const beta = mean.map((value, c) => value + bias[c]!);
  runner.replace(`${name}.weight`, tf.tensor1d(gamma));
  runner.replace(`${name}.bias`, tf.tensor1d(beta));
  runner.replace(`${name}.running_mean`, tf.tensor1d(mean));
  runner.replace(`${name}.running_var`, tf.tensor1d(variance));
}
