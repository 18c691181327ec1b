import type { Tensor } from '@tensorflow/tfjs-node';
import { z } from 'zod';
import type { WeightLookup } from '../models/weights.ts';
import type { CheckpointContent, CheckpointTensor } from './checkpoint-file.ts';
import type { NetworkRunner } from './network-runner.ts';
import type { Optimizer } from './optimizer-types.ts';
import type { WeightAverage } from './weight-average.ts';

/** Also Infinity and NaN, which zod's own numbers exclude. */
const anyNumber = z.custom<number>((value) => typeof value === 'number');

const evaluationSchema = z.strictObject({
  imageCount: z.number(),
  loss: anyNumber,
  top1Fraction: anyNumber,
});

const epochRecordSchema = z.strictObject({
  epoch: z.int(),
  learningRate: z.number(),
  imageCount: z.int(),
  trainLoss: z.number(),
  trainTop1Fraction: z.number(),
  validation: evaluationSchema.nullable(),
  imagesPerSecond: z.number(),
  dataWaitFraction: z.number(),
  durationMs: z.number(),
  endedAtSeconds: z.number(),
});

export interface EpochRecord {
  /** From 1. */
  readonly epoch: number;
  /** Of the epoch's last step. */
  readonly learningRate: number;
  /** Images trained on: fewer than there are where the time limit ended the epoch. */
  readonly imageCount: number;
  /** Mean over them. */
  readonly trainLoss: number;
  /** Measured during training, on changed images and with dropout. */
  readonly trainTop1Fraction: number;
  /** Null when there are no validation images. */
  readonly validation: z.infer<typeof evaluationSchema> | null;
  /** Training alone, without validation. */
  readonly imagesPerSecond: number;
  /** Of the time of training alone, what no step used since its batch was not ready: reading and conversion. */
  readonly dataWaitFraction: number;
  readonly durationMs: number;
  /** Seconds since 1970. */
  readonly endedAtSeconds: number;
}

const stateSchema = z.strictObject({
  epoch: z.int().min(1),
  step: z.int().min(0),
  lossSum: z.number(),
  correctCount: z.number(),
  imagesDone: z.int(),
  dataWaitMs: z.number(),
  learningRate: z.number(),
  epochMs: z.number(),
  trainingMs: z.number(),
  epochs: z.array(epochRecordSchema),
  bestEpoch: z.int().nullable(),
});

/** After `step` steps of `epoch`, which counts from 1. */
export interface TrainingPlace {
  readonly epoch: number;
  readonly step: number;
}

/**
 * Where a training stands, weights and optimizer aside. The random streams are functions of the seed and
 * this position (order of the images by epoch, changes by epoch and image, dropout by step), so they
 * need no state of their own.
 */
export interface TrainingState {
  /** From 1: the epoch under way; one more than the recipe's when all are done. */
  epoch: number;
  /** Steps of it that are done: its position in the data. */
  step: number;
  /** Sums over the epoch's images so far. */
  lossSum: number;
  correctCount: number;
  imagesDone: number;
  /** Time of the epoch's steps so far in which they waited for their batches. */
  dataWaitMs: number;
  /** Of the last step. */
  learningRate: number;
  /** When the epoch and the training began, by `performance.now()`, without the time between a kill and going on. */
  epochStartedAt: number;
  startedAt: number;
  epochs: EpochRecord[];
  /** Of the best checkpoint so far: its record is in `epochs`. */
  best: { readonly epoch: number; readonly weights: ReadonlyMap<string, Float32Array> } | null;
}

export function initialState(learningRate: number): TrainingState {
  const now = performance.now();
  return {
    epoch: 1,
    ...epochStart(learningRate, now),
    startedAt: now,
    epochs: [],
    best: null,
  };
}

/** What is reset when an epoch begins. */
export function epochStart(
  learningRate: number,
  now: number,
): Pick<
  TrainingState,
  | 'step'
  | 'lossSum'
  | 'correctCount'
  | 'imagesDone'
  | 'dataWaitMs'
  | 'learningRate'
  | 'epochStartedAt'
> {
  return {
    step: 0,
    lossSum: 0,
    correctCount: 0,
    imagesDone: 0,
    dataWaitMs: 0,
    learningRate,
    epochStartedAt: now,
  };
}

/** What steps change. */
export interface TrainedParts {
  readonly runner: NetworkRunner;
  readonly optimizer: Optimizer;
  readonly average: WeightAverage | null;
}

/**
 * All that a training goes on from. Nothing is copied before it is read, so no step may be taken until
 * everything was.
 */
export function captureTraining(
  state: TrainingState,
  { runner, optimizer, average }: TrainedParts,
): CheckpointContent {
  const now = performance.now();
  const { startedAt, epochStartedAt, best, epochs, ...position } = state;
  const saved: z.infer<typeof stateSchema> = {
    ...position,
    epochMs: now - epochStartedAt,
    trainingMs: now - startedAt,
    epochs: epochs.map((record) => ({ ...record })),
    bestEpoch: best?.epoch ?? null,
  };
  return {
    state: saved,
    tensors: new Map([
      ...named('weights', ofTensors(runner.parameters)),
      ...named('optimizer', optimizer.readState()),
      ...named('average', average === null ? [] : ofTensors(average.tensors)),
      ...named('best', best === null ? [] : ofArrays(best.weights)),
    ]),
  };
}

/** Puts the parts where the checkpoint has them; null, and nothing changed, when it is not of this network. */
export function restoreTraining(
  content: CheckpointContent,
  { runner, optimizer, average }: TrainedParts,
): TrainingState | null {
  const parsed = stateSchema.safeParse(content.state);
  if (!parsed.success) return null;
  const { epochMs, trainingMs, bestEpoch, ...position } = parsed.data;
  const weights = group('weights', content.tensors);
  const isComplete = [...runner.parameters].every(
    ([name, { size }]) => weights.get(name)?.length === size,
  );
  if (!isComplete) return null;
  runner.writeWeights(lookup(weights));
  average?.write(lookup(group('average', content.tensors)));
  optimizer.writeState(group('optimizer', content.tensors));
  const now = performance.now();
  const best =
    bestEpoch === null
      ? null
      : { epoch: bestEpoch, weights: readAll(group('best', content.tensors)) };
  return { ...position, epochStartedAt: now - epochMs, startedAt: now - trainingMs, best };
}

/** The place a checkpoint is of; null when it is of another form. */
export function savedPlace({ state }: CheckpointContent): TrainingPlace | null {
  const parsed = stateSchema.safeParse(state);
  return parsed.success ? { epoch: parsed.data.epoch, step: parsed.data.step } : null;
}

/** Weights that a training could still be judged by. */
export interface SoundWeights {
  readonly epoch: number;
  /** Steps of the epoch that are done; null: of the best validation, after the whole epoch. */
  readonly step: number | null;
  readonly weights: ReadonlyMap<string, Float32Array>;
}

/** Of a checkpoint: the average where there is one. Null when values are not finite. */
export function soundWeights({ state, tensors }: CheckpointContent): SoundWeights | null {
  const parsed = stateSchema.safeParse(state);
  if (!parsed.success) return null;
  const average = readAll(group('average', tensors));
  const weights = average.size > 0 ? average : readAll(group('weights', tensors));
  for (const values of weights.values()) {
    if (!values.every(Number.isFinite)) return null;
  }
  const { epoch, step } = parsed.data;
  return { epoch, step, weights };
}

type Named = Iterable<readonly [string, CheckpointTensor]>;

function ofTensors(tensors: ReadonlyMap<string, Tensor>): Named {
  // All are float32, and `dataSync` copies out of TensorFlow's memory.
  return [...tensors].map(([name, tensor]) => [
    name,
    { length: tensor.size, read: () => tensor.dataSync<'float32'>() },
  ]);
}

function ofArrays(arrays: ReadonlyMap<string, Float32Array>): Named {
  return [...arrays].map(([name, data]) => [name, { length: data.length, read: () => data }]);
}

function named(prefix: string, tensors: Named): [string, CheckpointTensor][] {
  return [...tensors].map(([name, tensor]) => [`${prefix}/${name}`, tensor]);
}

function group(
  prefix: string,
  tensors: ReadonlyMap<string, CheckpointTensor>,
): Map<string, CheckpointTensor> {
  const start = `${prefix}/`;
  return new Map(
    [...tensors].flatMap(([name, data]) =>
      name.startsWith(start) ? [[name.slice(start.length), data] as const] : [],
    ),
  );
}

function lookup(tensors: ReadonlyMap<string, CheckpointTensor>): WeightLookup {
  return { get: (name) => tensors.get(name)?.read() };
}

function readAll(tensors: ReadonlyMap<string, CheckpointTensor>): Map<string, Float32Array> {
  return new Map([...tensors].map(([name, tensor]) => [name, tensor.read()]));
}
