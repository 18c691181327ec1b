import { setImmediate } from 'node:timers/promises';
import { InterruptedError } from '../diagnostics/errors.ts';
import { epochBatches } from './batch-order.ts';
import type { BatchSource } from './batches.ts';
import { createEpochForecast } from './epoch-forecast.ts';
import type { Recipe } from './recipe.ts';
import { goesByTime, learningRateAt } from './schedule.ts';
import { scheduleEndMs } from './time-limit.ts';
import type { TrainingOptions } from './training-loop.ts';
import type { EpochRecord, TrainedParts, TrainingState } from './training-state.ts';
import { trainStep } from './training-step.ts';
import { classWeightsOf } from './training-targets.ts';

/** What is known of an epoch before its validation. */
export interface TrainedEpoch {
  readonly trained: Omit<EpochRecord, 'validation' | 'durationMs' | 'endedAtSeconds'>;
  /** Of the whole training. */
  readonly stepsDone: number;
}

/**
 * Trains from where `state` stands to the end of its epoch and moves it along with every step, so that at
 * each wait it says exactly what the weights have seen. `afterStep` may save both. Where the time limit ends
 * the schedule it ends the epoch, too.
 */
export async function trainEpoch(
  options: TrainingOptions,
  { runner, optimizer, average }: TrainedParts,
  state: TrainingState,
  afterStep: () => Promise<void>,
): Promise<TrainedEpoch> {
  const { source, shards, recipe, signal } = options;
  const { epoch } = state;
  const labels = shards.splits.train.entries.map(({ label }) => label);
  const batches = epochBatches(labels, recipe, epoch);
  const classWeights = classWeightsOf(labels, shards.classes.length, recipe.classWeights);
  const request = (step: number): ReturnType<BatchSource['request']> => {
    // Balanced, an image may come twice in an epoch and is then to be changed in two ways.
    const stream = recipe.sampling === 'balanced' ? `epoch-${epoch}/${step}` : `epoch-${epoch}`;
    return source.request('train', batches[step] ?? [], recipe.imageChanges, stream);
  };
  const report = progressReporter(options, state);
  let pending = request(state.step);
  while (state.step < batches.length && !isScheduleOver(recipe, state)) {
    const { step } = state;
    const waitFrom = performance.now();
    const batch = await pending.finish();
    state.dataWaitMs += performance.now() - waitFrom;
    pending = request(step + 1);
    // Lets the reads just asked for begin, and Ctrl-C be noticed, before the step blocks this thread.
    await setImmediate();
    if (signal.aborted) throw new InterruptedError();
    const stepsPerEpoch = batches.length;
    const stepsDone = (epoch - 1) * stepsPerEpoch + step;
    const stepCount = recipe.epochs * stepsPerEpoch;
    state.learningRate = learningRateAt(recipe, {
      ...{ step: stepsDone, stepsPerEpoch, stepCount },
      doneFraction: doneFraction(recipe, stepsDone / stepCount, state),
    });
    const place = { epoch, step, stepCount: stepsPerEpoch, learningRate: state.learningRate };
    const stepOptions = { ...options, runner, optimizer, classWeights };
    const { loss, correctCount } = trainStep(stepOptions, batch, place);
    average?.update(stepsDone);
    state.step += 1;
    state.lossSum += loss * batch.labels.length;
    state.correctCount += correctCount;
    state.imagesDone += batch.labels.length;
    report();
    await afterStep();
  }
  await pending.finish();
  const trainingMs = performance.now() - state.epochStartedAt;
  const { imagesDone } = state;
  const trained = {
    epoch,
    learningRate: state.learningRate,
    imageCount: imagesDone,
    trainLoss: state.lossSum / imagesDone,
    trainTop1Fraction: state.correctCount / imagesDone,
    imagesPerSecond: imagesDone / (trainingMs / 1000),
    dataWaitFraction: state.dataWaitMs / trainingMs,
  };
  return { trained, stepsDone: (epoch - 1) * batches.length + state.step };
}

function progressReporter(options: TrainingOptions, state: TrainingState): () => void {
  const { recipe, shards } = options;
  const imageCount = shards.splits.train.entries.length;
  const last = state.epochs.at(-1);
  const forecast = createEpochForecast({
    ...recipe,
    epoch: state.epoch,
    lastEpochMs: last?.durationMs ?? null,
    scheduleEndMs: goesByTime(recipe.schedule) ? scheduleEndMs(recipe, last) : null,
    elapsedBeforeMs: state.epochStartedAt - state.startedAt,
  });
  return () => {
    const elapsedMs = performance.now() - state.epochStartedAt;
    const expectedEpochs = forecast({ elapsedMs, doneFraction: state.imagesDone / imageCount });
    const imagesDone = (state.epoch - 1) * imageCount + state.imagesDone;
    const imagesTotal = expectedEpochs * imageCount;
    const epochsLeft = (imagesTotal - imagesDone) / imageCount;
    // Where the time ends the last epoch, not all of it is left.
    const limitLeftMs =
      recipe.timeLimitMs === null || !goesByTime(recipe.schedule)
        ? Infinity
        : Math.max(0, recipe.timeLimitMs - (performance.now() - state.startedAt));
    options.onProgress({
      ...{ imagesDone, imagesTotal },
      imagesPerSecond: state.imagesDone / (elapsedMs / 1000),
      remainingMs: last === undefined ? null : Math.min(epochsLeft * last.durationMs, limitLeftMs),
      epoch: state.epoch,
      expectedEpochs,
      loss: state.lossSum / state.imagesDone,
      lastValidation: last?.validation ?? null,
    });
  };
}

/** Whether the steps that are left would have rate 0, since the time is over. An epoch has one step at least. */
function isScheduleOver(recipe: Recipe, { step, startedAt, epochs }: TrainingState): boolean {
  const endMs = scheduleEndMs(recipe, epochs.at(-1));
  if (endMs === null || step === 0 || !goesByTime(recipe.schedule)) return false;
  return performance.now() - startedAt >= endMs;
}

/**
 * By steps, or by time when the limit will end the training first: a cosine then still reaches zero. The first
 * step begins the schedule, however long its batch took.
 */
function doneFraction(
  recipe: Recipe,
  bySteps: number,
  { startedAt, epochs }: TrainingState,
): number {
  const endMs = scheduleEndMs(recipe, epochs.at(-1));
  if (endMs === null || bySteps === 0) return bySteps;
  return Math.max(bySteps, (performance.now() - startedAt) / endMs);
}
