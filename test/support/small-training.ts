import type { TestContext } from 'node:test';
import { openShardReader } from '../../src/data/image-shards.ts';
import { createNetworkBuilder } from '../../src/models/network-builder.ts';
import { randomWeights } from '../../src/models/weights.ts';
import type { Tensorflow } from '../../src/runtime/tensorflow.ts';
import { createBatchSource, NO_CHANGES } from '../../src/training/batches.ts';
import { createNetworkRunner } from '../../src/training/network-runner.ts';
import type { Recipe } from '../../src/training/recipe.ts';
import type { TrainingOptions } from '../../src/training/training-loop.ts';
import { writeColouredShards } from './coloured-shards.ts';
import { NETWORK_OPTIONS } from './formula-weights.ts';
import { temporaryFolder } from './stage-context.ts';

const RECIPE: Recipe = {
  epochs: 6,
  batchSize: 4,
  learningRate: 0.1,
  schedule: { kind: 'constant' },
  warmupEpochs: 0,
  optimizer: 'sgd',
  momentum: 0.9,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  weightDecayOn: 'all',
  microBatchSize: null,
  labelSmoothing: 0,
  classWeights: 'none',
  sampling: 'shuffled',
  imageChanges: NO_CHANGES,
  headLearningRateFactor: 1,
  headEpochs: 0,
  frozenLayerCount: 0,
  averageDecay: null,
  patience: null,
  timeLimitMs: null,
  seed: 0,
};

/**
 * A training of a network of two layers on red and blue images, 16 of them in 4 steps an epoch, 6 to
 * validate.
 */
export async function smallTraining(
  context: TestContext,
  tf: Tensorflow,
  recipe: Partial<Recipe> = {},
  batchNorm: 'standard' | 'none' = 'standard',
): Promise<TrainingOptions> {
  const folder = await temporaryFolder(context);
  await writeColouredShards(folder, { size: 8, imagesPerClass: { train: 8, validation: 3 } });
  const reader = await openShardReader(folder);
  context.after(() => reader.close());
  const builder = createNetworkBuilder({
    ...{ ...NETWORK_OPTIONS, batchNorm, classCount: 2, imageSize: 8 },
  });
  builder.convolution({
    ...{ weightName: 'c', batchNormName: 'b', outputChannels: 4, kernelSize: 3 },
    activation: 'relu',
  });
  builder.globalAveragePool();
  builder.dense('d', 2, 'none');
  const network = builder.build();
  return {
    tf,
    runner: createNetworkRunner(tf, network, randomWeights(network, 0)),
    source: createBatchSource(reader, 0),
    shards: reader.shards,
    recipe: { ...RECIPE, ...recipe },
    validationSplit: 'validation',
    checkpoint: 'best',
    checkpoints: null,
    checkpointMs: 60_000,
    signal: new AbortController().signal,
    onResume: () => undefined,
    onInterrupt: () => undefined,
    onProgress: () => undefined,
    onEpoch: () => undefined,
  };
}
