import type { Split } from '../data/dataset-index.ts';
import type { ImageShards } from '../data/image-shards.ts';
import { DataError, InterruptedError, StageError } from '../diagnostics/errors.ts';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import type { BatchSource } from './batches.ts';
import type { Checkpoints } from './checkpoints.ts';
import { hasStalled, isBetter } from './choose-epoch.ts';
import { requireSoundValidation } from './divergence.ts';
import { evaluateNetwork, firstCopies, type Evaluation } from './evaluate-network.ts';
import type { NetworkRunner } from './network-runner.ts';
import type { OperationObserver } from './native-operations.ts';
import { createOptimizer } from './optimizer.ts';
import type { Recipe } from './recipe.ts';
import { trainEpoch } from './train-epoch.ts';
import { createWeightAverage } from './weight-average.ts';
import {
  captureTraining,
  epochStart,
  initialState,
  restoreTraining,
  type EpochRecord,
  type TrainedParts,
  type TrainingState,
} from './training-state.ts';

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
  /** Told of every operation of the optimizer. */
  readonly observe?: OperationObserver;
  readonly source: BatchSource;
  readonly shards: ImageShards;
  readonly recipe: Recipe;
  /** Scores the checkpoints. */
  readonly validationSplit: Split;
  /** `best`: of the epoch with the highest validation accuracy, and of equals the lowest loss. */
  readonly checkpoint: 'best' | 'last';
  /** Where the training goes on from after a kill; null: it always begins anew. */
  readonly checkpoints: Checkpoints | null;
  /** Longest time between two checkpoints; there is one after each epoch besides. */
  readonly checkpointMs: number;
  readonly signal: AbortSignal;
  /** The training goes on from a checkpoint, after `step` steps of `epoch`. */
  onResume(place: { readonly epoch: number; readonly step: number }): void;
  /** The training was interrupted after `step` steps of `epoch`, and all of them are saved. */
  onInterrupt(place: { readonly epoch: number; readonly step: number }): void;
  /** Before the first step of a training that begins anew: what a resumed one need not repeat. */
  prepare?(): Promise<void>;
  onProgress(progress: TrainingProgress): void;
  onEpoch(record: EpochRecord): void;
}

export interface TrainingResult {
  readonly epochs: readonly EpochRecord[];
  /** The epoch whose weights the runner holds now. */
  readonly chosenEpoch: EpochRecord;
  readonly stoppedBy: 'epochs' | 'time-limit' | 'early-stopping';
}

/**
 * Trains `runner` and leaves the chosen checkpoint in it. Goes on from the last of `checkpoints`, and
 * then ends with the weights of a training that was never stopped.
 * @throws StageError `training/diverged` when the loss is no longer a number.
 */
export async function trainNetwork(options: TrainingOptions): Promise<TrainingResult> {
  const { runner, shards, checkpoints } = options;
  if (shards.splits.train.entries.length === 0) {
    throw new DataError({
      code: 'training/no-images',
      message: 'the images have no train split to learn from',
      hint: 'check the splits of the ingest stage',
    });
  }
  const parts = createParts(options);
  try {
    const state = await beginOrResume(options, parts);
    const saver = createSaver(options, parts, state);
    const stoppedBy = await trainEpochs(options, parts, state, saver);
    await checkpoints?.finish();
    const { best, epochs } = state;
    // At least one epoch always runs: recipe.epochs >= 1 and the limit is looked at after the first.
    const last = epochs.at(-1)!;
    if (best !== null) runner.writeWeights(best.weights);
    else parts.average?.exchange();
    const chosenEpoch = epochs.find(({ epoch }) => epoch === best?.epoch) ?? last;
    return { epochs, chosenEpoch, stoppedBy };
  } finally {
    parts.optimizer.dispose();
    parts.average?.dispose();
  }
}

function createParts({ tf, runner, recipe, observe }: TrainingOptions): TrainedParts {
  const { averageDecay } = recipe;
  return {
    runner,
    optimizer: createOptimizer(tf, runner, recipe, observe),
    average: averageDecay === null ? null : createWeightAverage(tf, runner, averageDecay),
  };
}

async function beginOrResume(
  options: TrainingOptions,
  parts: TrainedParts,
): Promise<TrainingState> {
  const { checkpoints, recipe } = options;
  const loaded = (await checkpoints?.load((content) => restoreTraining(content, parts))) ?? null;
  if (loaded !== null) {
    options.onResume(loaded);
    return loaded;
  }
  await options.prepare?.();
  parts.average?.reset();
  return initialState(recipe.learningRate);
}

async function trainEpochs(
  options: TrainingOptions,
  parts: TrainedParts,
  state: TrainingState,
  saver: Saver,
): Promise<TrainingResult['stoppedBy']> {
  const { recipe, checkpoint } = options;
  try {
    while (state.epoch <= recipe.epochs) {
      if (state.step === 0 && hasStalled(state.epochs, recipe.patience)) return 'early-stopping';
      if (state.step === 0 && !fitsTimeLimit(recipe, state)) return 'time-limit';
      const trained = await trainEpoch(options, parts, state, () => saver.whenDue());
      const validation = await validate(options, parts);
      if (validation !== null) requireSoundValidation(validation.loss, state, recipe);
      const now = performance.now();
      const record: EpochRecord = {
        ...trained,
        validation,
        durationMs: now - state.epochStartedAt,
        endedAtSeconds: Date.now() / 1000,
      };
      const best = state.epochs.find(({ epoch }) => epoch === state.best?.epoch) ?? null;
      if (checkpoint === 'best' && isBetter(validation, best?.validation ?? null)) {
        state.best = {
          epoch: state.epoch,
          weights: valuesOf(parts.average?.tensors ?? parts.runner.parameters),
        };
      }
      state.epochs.push(record);
      state.epoch += 1;
      Object.assign(state, epochStart(recipe.learningRate, now));
      options.onEpoch(record);
      await saver.save();
    }
  } catch (error) {
    if (error instanceof InterruptedError) {
      await saver.saveAndWait();
      options.onInterrupt(state);
    }
    // The same settings would lead to the same end.
    if (error instanceof StageError && error.code === 'training/diverged') {
      await options.checkpoints?.discard();
    }
    throw error;
  }
  return 'epochs';
}

/** Scores the weights that would be kept: the average where there is one. Null: there are no images. */
async function validate(
  options: TrainingOptions,
  { average }: Pick<TrainedParts, 'average'>,
): Promise<Evaluation | null> {
  const { shards, validationSplit, recipe } = options;
  if (firstCopies(shards, validationSplit).length === 0) return null;
  const batchSize = recipe.microBatchSize ?? recipe.batchSize;
  const evaluate = (): Promise<Evaluation> =>
    evaluateNetwork({ ...options, split: validationSplit, batchSize });
  if (average === null) return evaluate();
  average.exchange();
  try {
    return await evaluate();
  } finally {
    average.exchange(); // the training goes on with its own, also from a checkpoint of an abort
  }
}

function valuesOf(tensors: NetworkRunner['parameters']): Map<string, Float32Array> {
  // All are float32, and `dataSync` copies out of TensorFlow's memory.
  return new Map([...tensors].map(([name, tensor]) => [name, tensor.dataSync<'float32'>()]));
}

interface Saver {
  save(): Promise<void>;
  /** Saves when the last time is `checkpointMs` ago. */
  whenDue(): Promise<void>;
  saveAndWait(): Promise<void>;
}

function createSaver(
  { checkpoints, checkpointMs }: TrainingOptions,
  parts: TrainedParts,
  state: TrainingState,
): Saver {
  let savedAt = performance.now();
  const save = async (): Promise<void> => {
    savedAt = performance.now();
    await checkpoints?.save(captureTraining(state, parts));
  };
  return {
    save,
    async whenDue() {
      if (performance.now() - savedAt >= checkpointMs) await save();
    },
    async saveAndWait() {
      await save();
      await checkpoints?.finish();
    },
  };
}

function fitsTimeLimit(
  { timeLimitMs }: Recipe,
  { epochs, startedAt }: Pick<TrainingState, 'epochs' | 'startedAt'>,
): boolean {
  const last = epochs.at(-1);
  return (
    timeLimitMs === null ||
    last === undefined ||
    performance.now() - startedAt + last.durationMs <= timeLimitMs
  );
}
