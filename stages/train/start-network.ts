import type { z } from 'zod';
import { cpuHasBfloat16 } from '../../src/benchmark/machine.ts';
import type { ImageShards, Normalization } from '../../src/data/image-shards.ts';
import { NORMALIZATION_PRESETS } from '../../src/data/normalization-presets.ts';
import { DataError } from '../../src/diagnostics/errors.ts';
import { loadInitialWeights, type InitialWeights } from '../../src/models/initial-weights.ts';
import type { Network } from '../../src/models/network.ts';
import { buildNetwork, defaultDropout } from '../../src/models/zoo.ts';
import type { Tensorflow } from '../../src/runtime/tensorflow.ts';
import type { StageContext } from '../../src/stage/definition.ts';
import type { OperationObserver } from '../../src/training/native-operations.ts';
import { createNetworkRunner, type NetworkRunner } from '../../src/training/network-runner.ts';
import { usablePrecision, type Precision } from '../../src/training/precision.ts';
import { requireMemory } from '../../src/training/require-memory.ts';
import type { trainParameters } from './parameters.ts';

type Parameters = z.output<typeof trainParameters>;
type Context = StageContext<Parameters>;

export interface StartedNetwork {
  readonly network: Network;
  readonly runner: NetworkRunner;
  /** The weights themselves are the runner's and change with every step: a copy would only take memory. */
  readonly initial: Omit<InitialWeights, 'weights'>;
}

/** The network of the parameters for these images, with its initial weights in TensorFlow. */
export async function startNetwork(
  context: Context,
  tf: Tensorflow,
  shards: ImageShards,
  observe: OperationObserver | null,
): Promise<StartedNetwork> {
  const { parameters, inputs } = context;
  requireClasses(shards);
  const network = buildNetwork(networkOptions(parameters, shards));
  const { weights, ...initial } = await loadInitialWeights(
    network,
    inputs['weights']?.path,
    parameters.seed,
    parameters.initialization,
  );
  describeStart(context, initial);
  const unlike = [
    kerasWarning(initial.origin, parameters.padding, shards.normalization),
    paddingWarning(initial, parameters.padding),
  ];
  for (const warning of unlike) if (warning !== null) context.warn(warning);
  const { averageDecay, optimizer } = parameters;
  const precision = precisionOf(parameters);
  if (precision !== parameters.precision) context.warn(NO_BFLOAT16);
  requireMemory({
    network,
    imageCount: imagesAtATime(parameters),
    ...{ precision, optimizer },
    hasWeightAverage: averageDecay !== null,
  });
  const runner = createNetworkRunner(tf, network, weights, {
    precision,
    ...(observe === null ? {} : { observe }),
  });
  return { network, runner, initial };
}

/** One class is always right: every figure would be perfect and mean nothing. */
export function requireClasses({ classes }: Pick<ImageShards, 'classes'>): void {
  if (classes.length > 1) return;
  throw new DataError({
    code: 'training/one-class',
    message: `the images are all of one class, ${classes.map((name) => `"${name}"`).join('')}; a classifier tells two or more apart`,
    hint: 'give the ingest stage a folder that holds one folder for each class',
  });
}

/** Keras's weights give other answers on padding and pixels that are not as in their training. */
export function kerasWarning(
  origin: InitialWeights['origin'],
  padding: Parameters['padding'],
  { mean, std }: Normalization,
): string | null {
  if (origin !== 'keras') return null;
  const { tf } = NORMALIZATION_PRESETS;
  const isTf = [...mean, ...std].every((value, i) => value === [...tf.mean, ...tf.std][i]);
  const wanted = [
    ...(padding === 'same' ? [] : ['"padding: same" in the train stage']),
    ...(isTf ? [] : ['"normalization: tf" in the augment stage']),
  ];
  if (wanted.length === 0) return null;
  return `the initial weights have Keras's names, and Keras trains with other padding and normalization: they fit ${wanted.join(' and ')}`;
}

/** Weights of an earlier training give other answers with other padding: 4.04 of loss instead of 0.00005. */
export function paddingWarning(
  initial: Pick<InitialWeights, 'padding'>,
  padding: Parameters['padding'],
): string | null {
  if (initial.padding === undefined || initial.padding === padding) return null;
  return `the initial weights were trained with "padding: ${initial.padding}", this training has "padding: ${padding}": they fit the former`;
}

/** Images that go through the network at once. */
export function imagesAtATime({
  microBatchSize,
  batchSize,
}: Pick<Parameters, 'microBatchSize' | 'batchSize'>): number {
  return Math.min(microBatchSize ?? batchSize, batchSize);
}

function networkOptions(parameters: Parameters, shards: ImageShards): Network['options'] {
  if (shards.width !== shards.height) {
    throw new DataError({
      code: 'training/not-square',
      message: `training takes square images, received ${shards.width} x ${shards.height}`,
      hint: 'set a crop in the augment stage',
    });
  }
  const { architecture, variant, widthMultiplier, padding, batchNorm, dropout } = parameters;
  return {
    ...{ architecture, variant, widthMultiplier, padding, batchNorm },
    dropout: dropout ?? defaultDropout(architecture),
    classCount: shards.classes.length,
    imageSize: shards.width,
  };
}

function describeStart(context: Context, initial: StartedNetwork['initial']): void {
  context.log(`initial weights: ${initial.description}`);
  if (initial.replaced.length > 0) {
    context.log(`drawn anew, since their shapes differ: ${initial.replaced.join(', ')}`);
  }
}

/** What this CPU trains in. */
export function precisionOf({ precision }: Parameters): Precision {
  return usablePrecision(precision, cpuHasBfloat16());
}

export const NO_BFLOAT16 = 'this CPU has no instructions for bfloat16, so float32 is used';
