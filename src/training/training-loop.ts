import type { Split } from '../data/dataset-index.ts';
import type { ImageShards } from '../data/image-shards.ts';
import { DataError, InterruptedError, StageError } from '../diagnostics/errors.ts';
import type { WeightLookup } from '../models/weights.ts';
import { collectGarbageAbove } from '../runtime/collect-garbage.ts';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import { NO_CHANGES, type BatchSource } from './batches.ts';
import type { Checkpoints } from './checkpoints.ts';
import { hasStalled, isBetter } from './choose-epoch.ts';
import { DIVERGED, requireFinite, requireSoundValidation } from './divergence.ts';
import { evaluateNetwork, firstCopies, type Evaluation } from './evaluate-network.ts';
import { copyOf, lookupOf, type NetworkRunner } from './network-runner.ts';
import type { OperationObserver } from './native-operations.ts';
import { createOptimizer } from './optimizer.ts';
import type { Recipe } from './recipe.ts';
import { hasTimeForEpoch } from './time-limit.ts';
import { trainEpoch } from './train-epoch.ts';
import { createWeightAverage } from './weight-average.ts';
import type { TrainingJournal } from './training-journal.ts';
import {
  captureTraining,
  epochStart,
  initialState,
  restoreTraining,
  savedPlace,
  soundWeights,
  type SoundWeights,
  type EpochRecord,
  type TrainedParts,
  type TrainingPlace,
  type TrainingState,
} from './training-state.ts';

/** Of a training 28 MB are in use. */
const MOST_HEAP_BYTES = 40e6;

export interface TrainingProgress {
  readonly imagesDone: number;
  /** Of the epochs that are expected to run: fewer than the recipe's where the time limit ends them. */
  readonly imagesTotal: number;
  readonly epoch: number;
  readonly expectedEpochs: number;
  /** Of the epoch that runs, without its validation. */
  readonly imagesPerSecond: number;
  /** At the pace of the epoch before, validation and all; null in the first one. */
  readonly remainingMs: number | null;
  readonly loss: number;
  readonly lastValidation: Evaluation | null;
}

export interface TrainingOptions {
  readonly tf: Tensorflow;
  readonly runner: NetworkRunner;
  /** Told of every operation of the optimizer, of sums of gradients and of the average of the weights. */
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
  /** History and events while the training goes on. */
  readonly journal?: TrainingJournal;
  /**
   * Takes the weights that were not chosen, before the chosen ones take their place in the runner: those of
   * the best epoch or of the last. Not called when nothing was validated.
   */
  readonly keepOther?: (which: 'best' | 'last', weights: WeightLookup) => Promise<void>;
  /** Keeps what a training that diverged had learnt, and gives the error that says where. */
  readonly keepDiverged?: (error: StageError, kept: SoundWeights) => Promise<StageError>;
  readonly signal: AbortSignal;
  /** The training goes on from a checkpoint, after `step` steps of `epoch`. */
  onResume(place: TrainingPlace): void;
  /** The training was interrupted at `place`; the newest checkpoint is of `saved`, null: there is none. */
  onInterrupt(place: TrainingPlace, saved: TrainingPlace | null): void;
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
  /** With what ran before it was interrupted, without the time in between. */
  readonly trainingMs: number;
}

/**
 * Trains `runner` and leaves the chosen checkpoint in it. Goes on from the last of `checkpoints`, and
 * then ends with the weights of a training that was never stopped.
 * @throws StageError `training/diverged` when the loss is no longer a number.
 */
export async function trainNetwork(options: TrainingOptions): Promise<TrainingResult> {
  const { shards, checkpoints } = options;
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
    const chosenEpoch = await chooseWeights(options, parts, state);
    const trainingMs = performance.now() - state.startedAt;
    return { epochs: state.epochs, chosenEpoch, stoppedBy, trainingMs };
  } finally {
    parts.optimizer.dispose();
    parts.average?.dispose();
  }
}

/** Puts the weights to be kept into the runner; gives their epoch. */
async function chooseWeights(
  { runner, checkpoint, keepOther }: TrainingOptions,
  { average }: TrainedParts,
  { best, epochs }: TrainingState,
): Promise<EpochRecord> {
  average?.exchange();
  // At least one epoch always runs: recipe.epochs >= 1 and the limit is looked at after the first.
  const last = epochs.at(-1)!;
  if (best === null) return last;
  if (checkpoint === 'last') {
    await keepOther?.('best', best.weights);
    return last;
  }
  await keepOther?.('last', lookupOf(runner.parameters));
  runner.writeWeights(best.weights);
  return epochs.find(({ epoch }) => epoch === best.epoch) ?? last;
}

function createParts({ tf, runner, recipe, observe }: TrainingOptions): TrainedParts {
  const { averageDecay } = recipe;
  return {
    runner,
    optimizer: createOptimizer(tf, runner, recipe, observe),
    average: averageDecay === null ? null : createWeightAverage(tf, runner, averageDecay, observe),
  };
}

async function beginOrResume(
  options: TrainingOptions,
  parts: TrainedParts,
): Promise<TrainingState> {
  const { checkpoints, recipe } = options;
  const loaded = (await checkpoints?.load((content) => restoreTraining(content, parts))) ?? null;
  if (loaded !== null) {
    await options.journal?.write(loaded.epochs);
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
  const { recipe } = options;
  const trainImageCount = options.shards.splits.train.entries.length;
  try {
    while (state.epoch <= recipe.epochs) {
      if (state.step === 0 && hasStalled(state.epochs, recipe)) return 'early-stopping';
      const elapsedMs = performance.now() - state.startedAt;
      const last = state.epochs.at(-1);
      if (state.step === 0 && !hasTimeForEpoch(recipe, last, { elapsedMs, trainImageCount })) {
        return 'time-limit';
      }
      const { trained, stepsDone } = await trainEpoch(options, parts, state, () => saver.whenDue());
      const validation = await validate(options, parts);
      const { epoch, learningRate } = state;
      const place = { epoch, learningRate, stepsDone };
      if (validation === null) requireFinite(await finiteProbe(options), place, recipe);
      else requireSoundValidation(validation.loss, place, recipe);
      const now = performance.now();
      const record: EpochRecord = {
        ...trained,
        validation,
        durationMs: now - state.epochStartedAt,
        endedAtSeconds: Date.now() / 1000,
      };
      const best = state.epochs.find(({ epoch }) => epoch === state.best?.epoch) ?? null;
      if (isBetter(validation, best?.validation ?? null)) {
        state.best = {
          epoch: state.epoch,
          weights: copyOf(parts.average?.tensors ?? parts.runner.parameters),
        };
      }
      state.epochs.push(record);
      state.epoch += 1;
      Object.assign(state, epochStart(recipe.learningRate, now));
      collectGarbageAbove(MOST_HEAP_BYTES);
      options.onEpoch(record);
      await options.journal?.write(state.epochs);
      await saver.save();
    }
  } catch (error) {
    if (error instanceof InterruptedError) {
      options.onInterrupt(state, await saver.saveAndWait());
    }
    if (error instanceof StageError && error.code === DIVERGED) {
      throw await afterDivergence(options, state, error);
    }
    throw error;
  }
  // The limit may have ended the last epoch.
  const areWhole = state.epochs.every(({ imageCount }) => imageCount === trainImageCount);
  return areWhole ? 'epochs' : 'time-limit';
}

/** What shows whether weights are ruined where nothing is validated: they, and outputs of a few images. */
async function finiteProbe({
  tf,
  runner,
  source,
  shards,
}: TrainingOptions): Promise<ReadonlyMap<string, Float32Array>> {
  const indices = firstCopies(shards, 'train').slice(0, PROBED_IMAGE_COUNT);
  const { imagesNhwc } = await source.request('train', indices, NO_CHANGES, '').finish();
  const outputs = tf.tidy(() => {
    const images = tf.tensor4d(imagesNhwc, [indices.length, shards.height, shards.width, 3]);
    return runner.predict(images).dataSync<'float32'>();
  });
  return copyOf(runner.parameters).set('the output', outputs);
}

const PROBED_IMAGE_COUNT = 4;

/** Scores the weights that would be kept: the average where there is one. Null: there are no images. */
async function validate(
  options: TrainingOptions,
  { average }: Pick<TrainedParts, 'average'>,
): Promise<Evaluation | null> {
  const { shards, validationSplit, recipe } = options;
  if (firstCopies(shards, validationSplit).length === 0) return null;
  const batchSize = Math.min(recipe.microBatchSize ?? Infinity, recipe.batchSize);
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

/**
 * The same settings would lead to the same end, so no checkpoint is left to go on from; the weights of the
 * best epoch are kept, or where nothing was validated the newest that were saved.
 */
async function afterDivergence(
  { checkpoints, keepDiverged }: TrainingOptions,
  { best }: TrainingState,
  error: StageError,
): Promise<StageError> {
  await checkpoints?.finish();
  const kept = best === null ? await checkpoints?.load(soundWeights) : { ...best, step: null };
  const told = kept && keepDiverged ? await keepDiverged(error, kept) : error;
  await checkpoints?.discard();
  return told;
}

interface Saver {
  save(): Promise<void>;
  /** Saves when the last time is `checkpointMs` ago. */
  whenDue(): Promise<void>;
  /** Where the newest checkpoint stands then: before `state` when it could not be written. */
  saveAndWait(): Promise<TrainingPlace | null>;
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
      if (checkpoints === null) return null;
      return (await checkpoints.finish()) === 'saved' ? state : checkpoints.load(savedPlace);
    },
  };
}
