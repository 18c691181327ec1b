import type { Tensor } from '@tensorflow/tfjs-node';
import type { ImageShards } from '../data/image-shards.ts';
import { headOf, parameterSpecs, type Network } from '../models/network.ts';
import { createRandom } from '../numeric/random.ts';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import { inGroups } from './batch-order.ts';
import type { Batch } from './batches.ts';
import { requireSoundLoss, type StepPlace } from './divergence.ts';
import { frozenLayers } from './frozen-layers.ts';
import { nativeOperations, type OperationObserver } from './native-operations.ts';
import type { NetworkRunner } from './network-runner.ts';
import type { Recipe } from './recipe.ts';
import type { TrainingPass } from './training-pass.ts';
import { trainingTargets, type TrainingTargets } from './training-targets.ts';
import type { Optimizer, ParameterGroup } from './optimizer-types.ts';

export interface StepOptions {
  readonly tf: Tensorflow;
  readonly runner: NetworkRunner;
  readonly shards: ImageShards;
  readonly recipe: Recipe;
  readonly optimizer: Optimizer;
  /** One a class; null: all count the same. */
  readonly classWeights: readonly number[] | null;
  /** Told of the sums of gradients. */
  readonly observe?: OperationObserver;
}

/**
 * One update of the weights; gives the batch's mean loss.
 * @throws StageError `training/diverged` when the loss is no number or has exploded.
 */
export function trainStep(
  options: StepOptions,
  batch: Batch,
  place: StepPlace,
): { readonly loss: number; readonly correctCount: number } {
  const { runner, recipe, optimizer } = options;
  const pass = passOver(options, batch, place);
  requireSoundLoss(pass.loss, place, recipe);
  optimizer.step(pass.gradients, parameterGroups(runner.network, recipe, place.learningRate));
  return pass;
}

/** Loss and gradients of the whole batch, through the network in parts where `microBatchSize` says so. */
function passOver(options: StepOptions, batch: Batch, place: StepPlace): TrainingPass {
  const { labelSmoothing, microBatchSize } = options.recipe;
  const { classWeights, shards, tf, observe } = options;
  const native = nativeOperations(tf, observe);
  const add = (a: Tensor, b: Tensor): Tensor =>
    native.execute('AddV2', [native.type('T', native.float32)], [a, b], 1)[0]!; // one was asked for
  const classCount = shards.classes.length;
  const targets = trainingTargets(batch.labels, { classCount, labelSmoothing, classWeights });
  const positions = [...batch.labels.keys()];
  const gradients = new Map<string, Tensor>();
  let loss = 0;
  let correctCount = 0;
  for (const [part, images] of inGroups(positions, microBatchSize ?? positions.length).entries()) {
    const pass = passOverPart(options, { batch, targets, place, part, images });
    loss += pass.loss;
    correctCount += pass.correctCount;
    for (const [name, gradient] of pass.gradients) {
      const sum = gradients.get(name);
      gradients.set(name, sum === undefined ? gradient : tf.keep(add(sum, gradient)));
      if (sum !== undefined) tf.dispose([sum, gradient]);
    }
  }
  return { loss, correctCount, gradients };
}

interface BatchPart {
  readonly batch: Batch;
  readonly targets: TrainingTargets;
  readonly place: StepPlace;
  /** Number of the part and the positions of its images in the batch, which are consecutive. */
  readonly part: number;
  readonly images: readonly number[];
}

function passOverPart(
  { tf, runner, shards, recipe }: StepOptions,
  { batch, targets, place, part, images }: BatchPart,
): TrainingPass {
  const [from = 0] = images;
  const to = from + images.length;
  const classCount = shards.classes.length;
  const valueCount = batch.imagesNhwc.length / batch.labels.length;
  const x = tf.tensor4d(batch.imagesNhwc.subarray(from * valueCount, to * valueCount), [
    images.length,
    shards.height,
    shards.width,
    3,
  ]);
  const rows = tf.tensor2d(targets.rows.subarray(from * classCount, to * classCount), [
    images.length,
    classCount,
  ]);
  const stepNumber = (place.epoch - 1) * place.stepCount + place.step;
  const stream = part === 0 ? `dropout/${stepNumber}` : `dropout/${stepNumber}/${part}`;
  const pass = runner.trainingPass(x, rows, {
    dropoutSeed: createRandom(recipe.seed, stream).integer(2 ** 31),
    imageWeights: targets.imageWeights.subarray(from, to),
    labels: batch.labels.subarray(from, to),
    frozenLayers: frozenLayers(runner.network, recipe, place.epoch),
  });
  tf.dispose([x, rows]);
  return pass;
}

function parameterGroups(
  network: Network,
  { headLearningRateFactor, weightDecay, weightDecayOn }: Recipe,
  learningRate: number,
): (name: string) => ParameterGroup {
  const head = headOf(network);
  const groups = new Map<string, ParameterGroup>(
    parameterSpecs(network).map(({ name, role, layer }) => [
      name,
      {
        learningRate: layer === head ? learningRate * headLearningRateFactor : learningRate,
        weightDecay: weightDecayOn === 'all' || role === 'weight' ? weightDecay : 0,
      },
    ]),
  );
  return (name) => groups.get(name) ?? { learningRate, weightDecay };
}
