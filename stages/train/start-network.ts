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
  const { seed, initialization } = parameters;
  const { weights, ...initial } = await loadInitialWeights(network, inputs['weights']?.path, {
    classes: shards.classes,
    ...{ seed, initialization },
  });
  describeStart(context, initial);
  const unlike = [
    kerasWarning(initial.origin, parameters.padding, shards.normalization),
    paddingWarning(initial, parameters.padding),
    normalizationWarning(initial, shards.normalization),
    classesWarning(initial),
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
  { trained }: Pick<InitialWeights, 'trained'>,
  padding: Parameters['padding'],
): string | null {
  if (trained === undefined || trained.network.padding === padding) return null;
  return `the initial weights were trained with "padding: ${trained.network.padding}", this training has "padding: ${padding}": they fit the former`;
}

/** The same of pixels that are scaled otherwise. */
export function normalizationWarning(
  { trained }: Pick<InitialWeights, 'trained'>,
  { mean, std }: Normalization,
): string | null {
  if (trained === undefined) return null;
  const was = trained.normalization;
  const recorded = [...was.mean, ...was.std];
  if ([...mean, ...std].every((value, i) => value === recorded[i])) return null;
  return `the initial weights were trained on images normalized by mean [${was.mean.join(', ')}] and std [${was.std.join(', ')}], these are by mean [${mean.join(', ')}] and std [${std.join(', ')}]: they fit the former, which the augment stage takes as "normalization"`;
}

/** A head keeps its meaning by position only: of other classes it would begin far off. */
export function classesWarning({ headFit }: Pick<InitialWeights, 'headFit'>): string | null {
  if (headFit.kind !== 'other-classes') return null;
  const { gone, added } = headFit;
  return `the initial weights were trained on other classes, with ${listed(gone)} and without ${listed(added)}: the last layer is drawn anew`;
}

const MOST_SHOWN = 8;

function listed(names: readonly string[]): string {
  const shown = names.slice(0, MOST_SHOWN).map((name) => `"${name}"`);
  return [...shown, ...(names.length > MOST_SHOWN ? ['…'] : [])].join(', ');
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
    const reason =
      initial.headFit.kind === 'other-classes' ? 'shape or for these classes' : 'shape';
    context.log(
      `drawn anew, since the initial weights have none of their ${reason}: ${initial.replaced.join(', ')}`,
    );
  }
  if (initial.headFit.kind === 'reordered') {
    context.notice(
      'the initial weights were trained on the same classes in another order: the last layer is put into the order of this training',
    );
  }
}

/** What this CPU trains in. */
export function precisionOf({ precision }: Parameters): Precision {
  return usablePrecision(precision, cpuHasBfloat16());
}

export const NO_BFLOAT16 = 'this CPU has no instructions for bfloat16, so float32 is used';
