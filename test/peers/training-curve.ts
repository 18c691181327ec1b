import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { trainParameters } from '../../stages/train/parameters.ts';
import { recipeOf } from '../../stages/train/recipe-of.ts';
import { openShardReader, type ShardReader } from '../../src/data/image-shards.ts';
import { loadWeights } from '../../src/models/load-weights.ts';
import { createNetworkBuilder } from '../../src/models/network-builder.ts';
import type { Network } from '../../src/models/network.ts';
import { packageRoot } from '../../src/runtime/package-root.ts';
import { loadTensorflow } from '../../src/runtime/tensorflow.ts';
import { createBatchSource } from '../../src/training/batches.ts';
import { epochBatches } from '../../src/training/batch-order.ts';
import { createNetworkRunner } from '../../src/training/network-runner.ts';
import type { Recipe } from '../../src/training/recipe.ts';
import { trainNetwork } from '../../src/training/training-loop.ts';
import { writeColouredShards } from '../support/coloured-shards.ts';

/** Of a training of 50 steps. */
const EPOCHS = 2;
const BATCH_SIZE = 16;
const IMAGES_PER_CLASS = 200;
const SIZE_PX = 32;
/** Largest difference between two losses of the same step, as issue "training" demands. */
export const LARGEST_LOSS_DIFFERENCE = 1e-3;

/** Recipes: parameters of the train stage besides the paper's, which are its defaults. */
const CASES = {
  'the paper (SGD, 1e-4)': {},
  'the paper at rate 0.05, drop after an epoch': { learningRate: 0.05, milestones: [1] },
  'Nesterov, cosine, label smoothing': {
    ...{ optimizer: 'nesterov', learningRate: 0.02, schedule: 'cosine', labelSmoothing: 0.1 },
  },
  Adam: {
    ...{ optimizer: 'adam', learningRate: 1e-3 },
  },
  'AdamW, one-cycle, decay of weights only': {
    ...{ optimizer: 'adamw', learningRate: 3e-3, schedule: 'one-cycle' },
    ...{ weightDecay: 0.05, weightDecayOn: 'weights' },
    ...{ labelSmoothing: 0.05 },
  },
} as const;

/**
 * Every kind of layer once. Not one of the deep networks: with random weights their batch norms blow
 * rounding up so much that PyTorch in float32 and in float64 differ by 3e-4 after a single step.
 */
function smallNetwork(classCount: number): Network {
  const builder = createNetworkBuilder({
    ...{
      architecture: 'mobilenet-v2',
      variant: 'torchvision',
      widthMultiplier: 1,
      padding: 'torch',
    },
    ...{ batchNorm: 'standard', dropout: 0, classCount, imageSize: SIZE_PX },
  });
  const convolution = { outputChannels: 16, kernelSize: 3, activation: 'relu6' } as const;
  builder.convolution({ ...convolution, weightName: 'c1', batchNormName: 'b1', stride: 2 });
  const first = builder.last;
  builder.convolution({ ...convolution, weightName: 'c2', batchNormName: 'b2', depthwise: true });
  const last = builder.convolution({
    ...{ weightName: 'c3', batchNormName: 'b3', outputChannels: 16, kernelSize: 1 },
    activation: 'none',
  });
  builder.add(first, last, 'relu');
  builder.maxPool(3, 2, 1);
  builder.globalAveragePool();
  builder.dense('d1', 32, 'relu');
  builder.dense('d2', classCount, 'none');
  return builder.build();
}

export interface TrainingCurve {
  readonly name: string;
  readonly stepCount: number;
  readonly firstLoss: number;
  readonly lastLoss: number;
  /** Largest difference of a step's losses here and in PyTorch. */
  readonly largestDifference: number;
}

/** Trains small networks from the same weights on the same batches here and in PyTorch. */
export async function compareTrainingCurves(
  python: string,
  folder: string,
  say: (line: string) => void,
): Promise<TrainingCurve[]> {
  await mkdir(join(folder, 'shards'), { recursive: true });
  await writeColouredShards(join(folder, 'shards'), {
    size: SIZE_PX,
    imagesPerClass: { train: IMAGES_PER_CLASS },
  });
  const reader = await openShardReader(join(folder, 'shards'));
  try {
    const curves: TrainingCurve[] = [];
    for (const [name, parameters] of Object.entries(CASES)) {
      say(`${name}: ${curves.length + 1} of ${Object.keys(CASES).length}`);
      curves.push(await compareCurve({ name, parameters, python, folder, reader }));
    }
    return curves;
  } finally {
    await reader.close();
  }
}

interface Comparison {
  readonly name: string;
  readonly parameters: (typeof CASES)[keyof typeof CASES];
  readonly python: string;
  readonly folder: string;
  readonly reader: ShardReader;
}

async function compareCurve(comparison: Comparison): Promise<TrainingCurve> {
  const { name, python, folder, reader } = comparison;
  const recipe = recipeOf(
    trainParameters.parse({
      ...{ architecture: 'mobilenet-v2', ...comparison.parameters }, // the recipe alone is used
      ...{ epochs: EPOCHS, batchSize: BATCH_SIZE, flip: 'both' },
    }),
  );
  const settingsPath = join(folder, 'settings.json');
  const weights = join(folder, 'weights.safetensors');
  const images = join(folder, 'images.f32');
  const batches = await writeBatches(reader, recipe, images);
  await writeFile(
    settingsPath,
    JSON.stringify({
      ...{ weights, images, recipe, ...batches },
      classCount: reader.shards.classes.length,
      sizePx: SIZE_PX,
      trainLabels: trainLabels(reader),
    }),
  );
  const script = join(packageRoot(), 'test', 'peers', 'train_torch.py');
  await execa(python, [script, 'init', settingsPath]);
  const ours = await trainHere(reader, recipe, weights);
  const { stdout } = await execa(python, [script, 'train', settingsPath]);
  const theirs = JSON.parse(stdout) as number[]; // our own script's answer
  return {
    name,
    stepCount: theirs.length,
    firstLoss: theirs[0] ?? NaN,
    lastLoss: theirs.at(-1) ?? NaN,
    largestDifference: theirs.reduce(
      (largest, loss, step) => Math.max(largest, Math.abs(loss - (ours[step] ?? Infinity))),
      0,
    ),
  };
}

function trainLabels({ shards }: ShardReader): number[] {
  return shards.splits.train.entries.map(({ label }) => label);
}

/** The batches of all steps, one after the other, as the training below will see them. */
async function writeBatches(
  reader: ShardReader,
  recipe: Recipe,
  path: string,
): Promise<{ labels: number[]; batchSizes: number[]; stepsPerEpoch: number }> {
  const source = createBatchSource(reader, recipe.seed);
  const labels: number[] = [];
  const batchSizes: number[] = [];
  const file = await open(path, 'w');
  try {
    for (let epoch = 1; epoch <= EPOCHS; epoch += 1) {
      for (const indices of epochBatches(trainLabels(reader), recipe, epoch)) {
        const request = source.request('train', indices, recipe.imageChanges, `epoch-${epoch}`);
        const batch = await request.finish();
        labels.push(...batch.labels);
        batchSizes.push(indices.length);
        const { buffer, byteOffset, byteLength } = batch.imagesNhwc;
        await file.writeFile(new Uint8Array(buffer, byteOffset, byteLength));
      }
    }
  } finally {
    await file.close();
  }
  return { labels, batchSizes, stepsPerEpoch: batchSizes.length / EPOCHS };
}

/** Loss of each step. */
async function trainHere(
  reader: ShardReader,
  recipe: Recipe,
  weightsPath: string,
): Promise<number[]> {
  const { shards } = reader;
  const network = smallNetwork(shards.classes.length);
  const { weights } = await loadWeights(network, weightsPath, 0);
  const tf = await loadTensorflow();
  const runner = createNetworkRunner(tf, network, weights);
  const losses: number[] = [];
  let before = { epoch: 0, sum: 0, images: 0 };
  const imageCount = shards.splits.train.entries.length;
  await trainNetwork({
    ...{ tf, runner, shards, recipe, source: createBatchSource(reader, recipe.seed) },
    ...{ validationSplit: 'validation', checkpoint: 'last', checkpoints: null, checkpointMs: 0 },
    signal: new AbortController().signal,
    onResume: () => undefined,
    onInterrupt: () => undefined,
    onEpoch: () => undefined,
    // Progress tells the mean over the epoch so far.
    onProgress: ({ epoch, loss, imagesDone }) => {
      const images = imagesDone - (epoch - 1) * imageCount;
      if (before.epoch !== epoch) before = { epoch, sum: 0, images: 0 };
      losses.push((loss * images - before.sum) / (images - before.images));
      before = { epoch, sum: loss * images, images };
    },
  });
  runner.dispose();
  return losses;
}
