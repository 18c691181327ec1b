import { setImmediate } from 'node:timers/promises';
import { InterruptedError } from '../diagnostics/errors.ts';
import { epochBatches } from './batch-order.ts';
import type { BatchSource } from './batches.ts';
import { createEpochForecast } from './epoch-forecast.ts';
import type { Optimizer } from './optimizer.ts';
import type { Recipe } from './recipe.ts';
import { learningRateAt } from './schedule.ts';
import type { TrainingOptions } from './training-loop.ts';
import type { EpochRecord, TrainingState } from './training-state.ts';
import { trainStep } from './training-step.ts';

/**
 * Trains from where `state` stands to the end of its epoch and moves it along with every step, so that at
 * each wait it says exactly what the weights have seen. `afterStep` may save both.
 */
export async function trainEpoch(
  options: TrainingOptions,
  optimizer: Optimizer,
  state: TrainingState,
  afterStep: () => Promise<void>,
): Promise<Omit<EpochRecord, 'validation' | 'durationMs' | 'endedAtSeconds'>> {
  const { source, shards, recipe, signal } = options;
  const { epoch } = state;
  const imageCount = shards.splits.train.entries.length;
  const batches = epochBatches(imageCount, recipe, epoch);
  const request = (step: number): ReturnType<BatchSource['request']> =>
    source.request('train', batches[step] ?? [], recipe.imageChanges, `epoch-${epoch}`);
  const report = progressReporter(options, state);
  let pending = request(state.step);
  while (state.step < batches.length) {
    const { step } = state;
    const batch = await pending.finish();
    pending = request(step + 1);
    // Lets the reads just asked for begin, and Ctrl-C be noticed, before the step blocks this thread.
    await setImmediate();
    if (signal.aborted) throw new InterruptedError();
    const position = epoch - 1 + step / batches.length;
    state.learningRate = learningRateAt(recipe, {
      epochPosition: position,
      doneFraction: doneFraction(recipe, position, state.startedAt),
      stepCount: recipe.epochs * batches.length,
    });
    const { loss, correctCount } = trainStep({ ...options, optimizer }, batch, {
      ...{ epoch, step, stepCount: batches.length, learningRate: state.learningRate },
    });
    state.step += 1;
    state.lossSum += loss * batch.labels.length;
    state.correctCount += correctCount;
    state.imagesDone += batch.labels.length;
    report();
    await afterStep();
  }
  await pending.finish();
  return {
    epoch,
    learningRate: state.learningRate,
    trainLoss: state.lossSum / imageCount,
    trainTop1Fraction: state.correctCount / imageCount,
    imagesPerSecond: imageCount / ((performance.now() - state.epochStartedAt) / 1000),
  };
}

function progressReporter(options: TrainingOptions, state: TrainingState): () => void {
  const { recipe, shards } = options;
  const imageCount = shards.splits.train.entries.length;
  const last = state.epochs.at(-1);
  const forecast = createEpochForecast({
    ...recipe,
    epoch: state.epoch,
    lastEpochMs: last?.durationMs ?? null,
    elapsedBeforeMs: state.epochStartedAt - state.startedAt,
  });
  return () => {
    const elapsedMs = performance.now() - state.epochStartedAt;
    const expectedEpochs = forecast({ elapsedMs, doneFraction: state.imagesDone / imageCount });
    options.onProgress({
      imagesDone: (state.epoch - 1) * imageCount + state.imagesDone,
      imagesTotal: expectedEpochs * imageCount,
      epoch: state.epoch,
      expectedEpochs,
      loss: state.lossSum / state.imagesDone,
      lastValidation: last?.validation ?? null,
    });
  };
}

/** By epochs, or by time when the limit will end the training first: a cosine then still reaches zero. */
function doneFraction(recipe: Recipe, epochPosition: number, startedAt: number): number {
  const byEpochs = epochPosition / recipe.epochs;
  if (recipe.timeLimitMs === null) return byEpochs;
  return Math.max(byEpochs, (performance.now() - startedAt) / recipe.timeLimitMs);
}
