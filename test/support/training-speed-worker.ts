/** The process in which drq trains for training-speed.ts: answers `WorkerCommand`s line by line. */
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { trainParameters } from '../../stages/train/parameters.ts';
import { recipeOf } from '../../stages/train/recipe-of.ts';
import { openShardReader, type ImageShards } from '../../src/data/image-shards.ts';
import { InternalError } from '../../src/diagnostics/errors.ts';
import type { Network } from '../../src/models/network.ts';
import { randomWeights } from '../../src/models/weights.ts';
import { buildNetwork, defaultDropout } from '../../src/models/zoo.ts';
import { createRandom } from '../../src/numeric/random.ts';
import { loadTensorflow } from '../../src/runtime/tensorflow.ts';
import { createBatchSource, type Batch } from '../../src/training/batches.ts';
import { estimateStepBytes } from '../../src/training/memory-estimate.ts';
import { createNetworkRunner } from '../../src/training/network-runner.ts';
import { createOptimizer } from '../../src/training/optimizer.ts';
import { trainNetwork } from '../../src/training/training-loop.ts';
import { trainStep } from '../../src/training/training-step.ts';
import type {
  EpochUsage,
  Prepared,
  ProcessUsage,
  StepTimes,
  TrainingRun,
  TrainingSetting,
  WorkerCommand,
} from './training-speed-messages.ts';

type Step = () => number;

async function answer(command: WorkerCommand, steps: { next: Step | null }): Promise<object> {
  switch (command.do) {
    case 'prepare':
      steps.next = await prepareSteps(command);
      return { estimatedBytes: estimateOf(command) } satisfies Prepared;
    case 'steps':
      if (steps.next === null) throw new InternalError('steps were asked for before a network');
      return timeSteps(steps.next, command.count);
    case 'usage':
      return readUsage();
    case 'train':
      return train(command);
  }
}

/** Of the bare steps that are measured; the train stage adds what checkpoints and the export take. */
function estimateOf(setting: TrainingSetting): number {
  const { recipe, network } = planOf({ ...setting, widthMultiplier: 1, epochs: 1 });
  const { precision, batchSize } = setting;
  return estimateStepBytes({
    ...{ network, precision, imageCount: batchSize, optimizer: recipe.optimizer },
    hasWeightAverage: false,
  });
}

/** Whole steps of the train stage on one batch of noise: from floats in JavaScript to new weights. */
async function prepareSteps(setting: TrainingSetting): Promise<Step> {
  const { recipe, network } = planOf({ ...setting, widthMultiplier: 1, epochs: 1 });
  const { precision } = setting;
  const tf = await loadTensorflow();
  const runner = createNetworkRunner(tf, network, randomWeights(network, 0), { precision });
  const optimizer = createOptimizer(tf, runner, recipe);
  const batch = noiseBatch(setting);
  const shards = emptyShards(setting);
  const { learningRate } = recipe;
  let step = 0;
  return () => {
    const place = { epoch: 1, step, stepCount: Number.MAX_SAFE_INTEGER, learningRate };
    step += 1;
    const options = { tf, runner, optimizer, recipe, shards, classWeights: null };
    return trainStep(options, batch, place).loss;
  };
}

function timeSteps(step: Step, count: number): StepTimes {
  const milliseconds: number[] = [];
  let loss = NaN;
  for (let i = 0; i < count; i += 1) {
    const start = performance.now();
    loss = step();
    milliseconds.push(performance.now() - start);
  }
  return { milliseconds, loss };
}

async function train(run: TrainingRun): Promise<{ epochs: EpochUsage[] }> {
  const reader = await openShardReader(run.shards);
  const { shards } = reader;
  const setting = { ...run, sizePx: shards.width, classCount: shards.classes.length };
  const { recipe, network } = planOf(setting);
  const tf = await loadTensorflow();
  const weights = randomWeights(network, 0);
  const runner = createNetworkRunner(tf, network, weights, { precision: run.precision });
  const epochs: EpochUsage[] = [];
  try {
    await trainNetwork({
      ...{ tf, runner, shards, recipe, source: createBatchSource(reader, recipe.seed) },
      ...{ validationSplit: 'validation', checkpoint: 'last', checkpoints: null },
      checkpointMs: Infinity,
      signal: new AbortController().signal,
      onResume: () => undefined,
      onInterrupt: () => undefined,
      onProgress: () => undefined,
      onEpoch: ({ imagesPerSecond, dataWaitFraction }) => {
        const residentBytes = process.memoryUsage.rss();
        const tensorCount = tf.memory().numTensors;
        epochs.push({ imagesPerSecond, dataWaitFraction, residentBytes, tensorCount });
      },
    });
  } finally {
    await reader.close();
  }
  return { epochs };
}

/** Recipe and network of the train stage; AlexNet as torchvision has it. */
function planOf(options: TrainingSetting & Pick<TrainingRun, 'widthMultiplier' | 'epochs'>): {
  readonly recipe: ReturnType<typeof recipeOf>;
  readonly network: Network;
} {
  const { architecture, precision, batchSize, widthMultiplier, epochs } = options;
  const parameters = trainParameters.parse({
    ...{ architecture, precision, batchSize, widthMultiplier, epochs },
    variant: 'torchvision',
    flip: 'both',
  });
  const network = buildNetwork({
    ...{ architecture, widthMultiplier, variant: 'torchvision', padding: 'torch' },
    batchNorm: 'standard',
    dropout: defaultDropout(architecture),
    classCount: options.classCount,
    imageSize: options.sizePx,
  });
  return { recipe: recipeOf(parameters), network };
}

function noiseBatch({ batchSize, sizePx, classCount }: TrainingSetting): Batch {
  const random = createRandom(0, 'noise');
  const valueCount = batchSize * sizePx * sizePx * 3;
  return {
    imagesNhwc: Float32Array.from({ length: valueCount }, () => 3.4 * (random.next() - 0.5)), // of variance 1
    labels: Int32Array.from({ length: batchSize }, () => random.integer(classCount)),
  };
}

/** What a step reads of the images' description: their size and their classes. */
function emptyShards({ sizePx, classCount }: TrainingSetting): ImageShards {
  const none = { entries: [], files: [] };
  return {
    ...{ format: 1, width: sizePx, height: sizePx, channels: 3, imagesPerShard: 1 },
    classes: Array.from({ length: classCount }, (_, label) => String(label)),
    normalization: { mean: [0, 0, 0], std: [1, 1, 1] },
    splits: { train: none, validation: none, test: none },
  };
}

async function readUsage(): Promise<ProcessUsage> {
  const { user, system } = process.cpuUsage();
  const residentBytes = process.memoryUsage.rss();
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
  // `maxRSS` would not do: a child inherits its parent's.
  const peak = /^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1];
  const peakKilobytes = peak === undefined ? process.resourceUsage().maxRSS : Number(peak);
  return { peakBytes: peakKilobytes * 1024, residentBytes, cpuSeconds: (user + system) / 1e6 };
}

const steps = { next: null };
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line) as WorkerCommand; // training-speed.ts is the only one to start this
  process.stdout.write(`${JSON.stringify(await answer(command, steps))}\n`);
}
