import { setImmediate } from 'node:timers/promises';
import type { Split } from '../data/dataset-index.ts';
import type { ImageShards } from '../data/image-shards.ts';
import { DataError, InterruptedError, StageError } from '../diagnostics/errors.ts';
import { headOf } from '../models/network.ts';
import { createRandom, shuffled } from '../numeric/random.ts';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import type { BatchSource, ImageChanges } from './batches.ts';
import { createEpochForecast } from './epoch-forecast.ts';
import { evaluateNetwork, firstCopies, type Evaluation } from './evaluate-network.ts';
import type { NetworkRunner } from './network-runner.ts';
import { learningRateAt, type LearningRateOptions } from './schedule.ts';
import { createSgd, type Optimizer, type SgdOptions } from './sgd.ts';

export interface Recipe extends LearningRateOptions, SgdOptions {
  readonly epochs: number;
  readonly batchSize: number;
  /** Probability mass spread evenly over all classes (Szegedy et al. 2015, section 7). */
  readonly labelSmoothing: number;
  readonly imageChanges: ImageChanges;
  /** Factor on the rate of the last layer, for one that starts anew on top of trained ones. */
  readonly headLearningRateFactor: number;
  /** No epoch is begun that would, at the pace so far, end beyond it; null: none. */
  readonly timeLimitMs: number | null;
  readonly seed: number;
}

export interface EpochRecord {
  /** From 1. */
  readonly epoch: number;
  /** Of the epoch's last step. */
  readonly learningRate: number;
  readonly trainLoss: number;
  /** Measured during training, on changed images and with dropout. */
  readonly trainTop1Fraction: number;
  /** Null when there are no validation images. */
  readonly validation: Evaluation | null;
  /** Training alone, without validation. */
  readonly imagesPerSecond: number;
  readonly durationMs: number;
}

export interface TrainingProgress {
  readonly imagesDone: number;
  /** Of the epochs that are expected to run: fewer than the recipe's where the time limit ends them. */
  readonly imagesTotal: number;
  readonly epoch: number;
  readonly expectedEpochs: number;
  readonly loss: number;
  readonly lastValidation: Evaluation | null;
}

export interface TrainingOptions {
  readonly tf: Tensorflow;
  readonly runner: NetworkRunner;
  readonly source: BatchSource;
  readonly shards: ImageShards;
  readonly recipe: Recipe;
  /** Scores the checkpoints. */
  readonly validationSplit: Split;
  /** `best`: of the epoch with the highest validation accuracy, and of equals the lowest loss. */
  readonly checkpoint: 'best' | 'last';
  readonly signal: AbortSignal;
  onProgress(progress: TrainingProgress): void;
  onEpoch(record: EpochRecord): void;
}

export interface TrainingResult {
  readonly epochs: readonly EpochRecord[];
  /** The epoch whose weights the runner holds now. */
  readonly chosenEpoch: EpochRecord;
  readonly stoppedBy: 'epochs' | 'time-limit';
}

/**
 * Trains `runner` and leaves the chosen checkpoint in it.
 * @throws StageError `training/diverged` when the loss is no longer a number.
 */
export async function trainNetwork(options: TrainingOptions): Promise<TrainingResult> {
  const { tf, runner, shards, recipe, validationSplit, checkpoint } = options;
  const trainCount = shards.splits.train.entries.length;
  if (trainCount === 0) {
    throw new DataError({
      code: 'training/no-images',
      message: 'the images have no train split to learn from',
      hint: 'check the splits of the ingest stage',
    });
  }
  const hasValidation = firstCopies(shards, validationSplit).length > 0;
  const optimizer = createSgd(tf, runner, recipe);
  const startedAt = performance.now();
  const epochs: EpochRecord[] = [];
  let best: { record: EpochRecord; weights: Map<string, Float32Array> } | null = null;
  let stoppedBy: TrainingResult['stoppedBy'] = 'epochs';
  try {
    for (let epoch = 1; epoch <= recipe.epochs; epoch += 1) {
      if (!fitsTimeLimit(recipe, epochs, performance.now() - startedAt)) {
        stoppedBy = 'time-limit';
        break;
      }
      const epochStart = performance.now();
      const trained = await trainEpoch(options, optimizer, { epoch, startedAt, epochs });
      const validation = hasValidation
        ? await evaluateNetwork({ ...options, split: validationSplit, batchSize: recipe.batchSize })
        : null;
      const record = { ...trained, validation, durationMs: performance.now() - epochStart };
      epochs.push(record);
      options.onEpoch(record);
      if (checkpoint === 'best' && isBetter(validation, best?.record.validation ?? null)) {
        best = { record, weights: runner.readWeights() };
      }
    }
  } finally {
    optimizer.dispose();
  }
  if (best !== null && best.record !== epochs.at(-1)) runner.writeWeights(best.weights);
  // At least one epoch always runs: recipe.epochs >= 1 and the limit is looked at after the first.
  return { epochs, chosenEpoch: best?.record ?? epochs.at(-1)!, stoppedBy };
}

function isBetter(candidate: Evaluation | null, best: Evaluation | null): boolean {
  if (candidate === null) return false;
  if (best === null) return true;
  if (candidate.top1Fraction !== best.top1Fraction) {
    return candidate.top1Fraction > best.top1Fraction;
  }
  return candidate.loss < best.loss;
}

function fitsTimeLimit(
  { timeLimitMs }: Recipe,
  epochs: readonly EpochRecord[],
  elapsedMs: number,
): boolean {
  const last = epochs.at(-1);
  return timeLimitMs === null || last === undefined || elapsedMs + last.durationMs <= timeLimitMs;
}

interface EpochState {
  readonly epoch: number;
  readonly startedAt: number;
  readonly epochs: readonly EpochRecord[];
}

async function trainEpoch(
  options: TrainingOptions,
  optimizer: Optimizer,
  { epoch, startedAt, epochs }: EpochState,
): Promise<Omit<EpochRecord, 'validation' | 'durationMs'>> {
  const { runner, source, shards, recipe, signal } = options;
  const imageCount = shards.splits.train.entries.length;
  const order = shuffled(
    Array.from({ length: imageCount }, (_, index) => index),
    createRandom(recipe.seed, `sampler/${epoch}`),
  );
  const batches = inBatches(order, recipe.batchSize);
  const headName = headOf(runner.network).weightName;
  const epochStart = performance.now();
  const request = (indices: readonly number[]): ReturnType<BatchSource['request']> =>
    source.request('train', indices, recipe.imageChanges, `epoch-${epoch}`);
  let pending = request(batches[0] ?? []);
  let lossSum = 0;
  let correctCount = 0;
  let imagesDone = 0;
  let learningRate = recipe.learningRate;
  const forecast = createEpochForecast({
    ...recipe,
    epoch,
    lastEpochMs: epochs.at(-1)?.durationMs ?? null,
    elapsedBeforeMs: epochStart - startedAt,
  });
  for (const [step, indices] of batches.entries()) {
    const batch = await pending.finish();
    pending = request(batches[step + 1] ?? []);
    // Lets the reads just asked for begin, and Ctrl-C be noticed, before the step blocks this thread.
    await setImmediate();
    if (signal.aborted) throw new InterruptedError();
    const position = epoch - 1 + step / batches.length;
    learningRate = learningRateAt(recipe, position, doneFraction(recipe, position, startedAt));
    const pass = trainStep(options, batch, (epoch - 1) * batches.length + step);
    requireFinite(pass.loss, { epoch, step: step + 1, stepCount: batches.length, learningRate });
    const headRate = learningRate * recipe.headLearningRateFactor;
    optimizer.step(pass.gradients, (name) =>
      name.startsWith(`${headName}.`) ? headRate : learningRate,
    );
    lossSum += pass.loss * indices.length;
    correctCount += pass.correctCount;
    imagesDone += indices.length;
    const elapsedMs = performance.now() - epochStart;
    const expectedEpochs = forecast({ elapsedMs, doneFraction: imagesDone / imageCount });
    options.onProgress({
      imagesDone: (epoch - 1) * imageCount + imagesDone,
      imagesTotal: expectedEpochs * imageCount,
      epoch,
      expectedEpochs,
      loss: lossSum / imagesDone,
      lastValidation: epochs.at(-1)?.validation ?? null,
    });
  }
  await pending.finish();
  return {
    epoch,
    learningRate,
    trainLoss: lossSum / imageCount,
    trainTop1Fraction: correctCount / imageCount,
    imagesPerSecond: imageCount / ((performance.now() - epochStart) / 1000),
  };
}

/** A last batch of one image would give batch norm nothing to average in 1x1 maps: it joins the one before. */
function inBatches(order: readonly number[], batchSize: number): number[][] {
  const batches: number[][] = [];
  for (let start = 0; start < order.length; start += batchSize) {
    batches.push(order.slice(start, start + batchSize));
  }
  const last = batches.at(-1);
  if (batches.length > 1 && last?.length === 1) {
    batches.pop();
    batches.at(-1)?.push(...last);
  }
  return batches;
}

/** By epochs, or by time when the limit will end the training first: a cosine then still reaches zero. */
function doneFraction(recipe: Recipe, epochPosition: number, startedAt: number): number {
  const byEpochs = epochPosition / recipe.epochs;
  if (recipe.timeLimitMs === null) return byEpochs;
  return Math.max(byEpochs, (performance.now() - startedAt) / recipe.timeLimitMs);
}

function trainStep(
  { tf, runner, shards, recipe }: TrainingOptions,
  { imagesNhwc, labels }: { imagesNhwc: Float32Array; labels: Int32Array },
  stepNumber: number,
): ReturnType<NetworkRunner['trainingPass']> {
  const classCount = shards.classes.length;
  const targetValues = new Float32Array(labels.length * classCount).fill(
    recipe.labelSmoothing / classCount,
  );
  labels.forEach((label, n) => {
    const index = n * classCount + label;
    targetValues[index] = targetValues[index]! + 1 - recipe.labelSmoothing; // labels are below classCount
  });
  const images = tf.tensor4d(imagesNhwc, [labels.length, shards.height, shards.width, 3]);
  const targets = tf.tensor2d(targetValues, [labels.length, classCount]);
  const dropoutSeed = createRandom(recipe.seed, `dropout/${stepNumber}`).integer(2 ** 31);
  const pass = runner.trainingPass(images, targets, dropoutSeed);
  images.dispose();
  targets.dispose();
  return pass;
}

function requireFinite(
  loss: number,
  place: { epoch: number; step: number; stepCount: number; learningRate: number },
): void {
  if (Number.isFinite(loss)) return;
  throw new StageError({
    code: 'training/diverged',
    message: `the loss became ${String(loss)} in epoch ${place.epoch}, step ${place.step} of ${place.stepCount}, at learning rate ${place.learningRate.toPrecision(3)}`,
    hint: 'lower "learningRate" (a tenth is a good next try) or raise "warmupEpochs"',
  });
}
