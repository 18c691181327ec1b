import type { ImageShards } from '../data/image-shards.ts';
import { StageError } from '../diagnostics/errors.ts';
import { headOf, parameterSpecs, type Network } from '../models/network.ts';
import { createRandom } from '../numeric/random.ts';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import type { Batch } from './batches.ts';
import type { NetworkRunner } from './network-runner.ts';
import type { Optimizer } from './optimizer.ts';
import type { Recipe } from './recipe.ts';
import type { ParameterGroup } from './update-rules.ts';

export interface StepOptions {
  readonly tf: Tensorflow;
  readonly runner: NetworkRunner;
  readonly shards: ImageShards;
  readonly recipe: Recipe;
  readonly optimizer: Optimizer;
}

export interface StepPlace {
  /** From 1. */
  readonly epoch: number;
  /** Of the epoch, from 0. */
  readonly step: number;
  readonly stepCount: number;
  readonly learningRate: number;
}

/**
 * One update of the weights; gives the batch's mean loss.
 * @throws StageError `training/diverged` when the loss is no longer a number.
 */
export function trainStep(
  options: StepOptions,
  batch: Batch,
  place: StepPlace,
): { readonly loss: number; readonly correctCount: number } {
  const { runner, recipe, optimizer } = options;
  const { learningRate } = place;
  const pass = passOver(options, batch, (place.epoch - 1) * place.stepCount + place.step);
  requireFinite(pass.loss, place);
  optimizer.step(pass.gradients, parameterGroups(runner.network, recipe, learningRate));
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

function passOver(
  { tf, runner, shards, recipe }: StepOptions,
  { imagesNhwc, labels }: Batch,
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

function requireFinite(loss: number, { epoch, step, stepCount, learningRate }: StepPlace): void {
  if (Number.isFinite(loss)) return;
  throw new StageError({
    code: 'training/diverged',
    message: `the loss became ${String(loss)} in epoch ${epoch}, step ${step + 1} of ${stepCount}, at learning rate ${learningRate.toPrecision(3)}`,
    hint: 'lower "learningRate" (a tenth is a good next try) or raise "warmupEpochs"',
  });
}
