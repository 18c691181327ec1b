import { writeFile } from 'node:fs/promises';
import type { z } from 'zod';
import { cpuHasBfloat16 } from '../../src/benchmark/machine.ts';
import { openShardReader, type ImageShards } from '../../src/data/image-shards.ts';
import { loadInitialWeights, type InitialWeights } from '../../src/models/initial-weights.ts';
import type { Network } from '../../src/models/network.ts';
import { writeWeightsFolder } from '../../src/models/weights-folder.ts';
import { buildNetwork, defaultDropout } from '../../src/models/zoo.ts';
import { DataError } from '../../src/diagnostics/errors.ts';
import { loadTensorflow } from '../../src/runtime/tensorflow.ts';
import { defineStage, type StageContext } from '../../src/stage/definition.ts';
import { writeMetricsFile } from '../../src/stage/metrics-file.ts';
import { createBatchSource } from '../../src/training/batches.ts';
import { createCheckpoints } from '../../src/training/checkpoints.ts';
import { exportCheckedOnnx } from '../../src/training/export-checked-onnx.ts';
import { epochEvents, historyCsv } from '../../src/training/history.ts';
import {
  createKernelTimes,
  kernelTimeLines,
  type KernelTime,
} from '../../src/training/kernel-times.ts';
import { createNetworkRunner } from '../../src/training/network-runner.ts';
import { rebuildBatchNorm } from '../../src/training/rebuild-batch-norm.ts';
import { usablePrecision, type Precision } from '../../src/training/precision.ts';
import { requireMemory } from '../../src/training/require-memory.ts';
import { writeEventFile } from '../../src/training/tensorboard-events.ts';
import {
  trainNetwork,
  type TrainingProgress,
  type TrainingResult,
} from '../../src/training/training-loop.ts';
import { trainParameters } from './parameters.ts';
import { recipeOf } from './recipe-of.ts';

type Parameters = z.output<typeof trainParameters>;
type Context = StageContext<Parameters>;

export const train = defineStage({
  kind: 'train',
  version: 6,
  description: 'Trains a network with TensorFlow and exports it as fp32 ONNX.',
  parameters: trainParameters,
  inputs: {
    images: { kinds: ['image-shards'], description: 'Preprocessed images of the augment stage.' },
    weights: {
      kinds: ['file', 'folder', 'model/tfjs'],
      optional: true,
      description:
        "Initial weights: a safetensors or PyTorch file (.pth) with torchvision's names, a safetensors file with Keras's, or the weights of another train stage. Random when absent.",
    },
  },
  outputs: {
    model: { kind: 'model/onnx', description: 'fp32, batch norm folded, checked on real images.' },
    weights: {
      kind: 'model/tfjs',
      description: 'Weights to go on training from; model.safetensors in it is for PyTorch.',
    },
    history: { kind: 'history', description: 'Losses and accuracies by epoch.' },
    events: { kind: 'events', description: "TensorBoard scalars under the paper's tags." },
    metrics: { kind: 'metrics', description: 'Chosen epoch, validation accuracy, speed.' },
  },
  runtimes: ['@tensorflow/tfjs-node'],
  cache: 'content',
  scheduling: 'parallel',
  defaultCpuCount: 'all',
  isolation: 'process',
  // A step that runs cannot be left, and the checkpoint of a big network takes seconds to write.
  abortGraceMs: 120_000,
  environment: ({ cpuCount }) => ({
    // glibc would give every large block back to the kernel after each step and fault it in again:
    // a fifth of the training time.
    MALLOC_MMAP_MAX_: '0',
    MALLOC_TRIM_THRESHOLD_: '100000000000',
    // Blocks in pages of 2 MB: activations are read faster, MobileNetV2 trains in 0.88 to 0.95 of the time.
    GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1',
    TF_NUM_INTRAOP_THREADS: String(cpuCount),
    TF_NUM_INTEROP_THREADS: '1',
    TF_CPP_MIN_LOG_LEVEL: '2',
  }),
  async run(context) {
    const { parameters, inputs } = context;
    const reader = await openShardReader(inputs['images']!.path); // declared as required
    try {
      const network = buildNetwork(networkOptions(parameters, reader.shards));
      const initial = await loadInitialWeights(
        network,
        inputs['weights']?.path,
        parameters.seed,
        parameters.initialization,
      );
      describeStart(context, initial);
      const tf = await loadTensorflow();
      const { averageDecay, optimizer } = parameters;
      const precision = precisionOf(parameters);
      if (precision !== parameters.precision) context.warn(NO_BFLOAT16);
      requireMemory({
        network,
        imageCount: parameters.microBatchSize ?? parameters.batchSize,
        ...{ precision, optimizer },
        hasWeightAverage: averageDecay !== null,
      });
      const times = parameters.kernelTimes === 'measure' ? createKernelTimes() : null;
      const runner = createNetworkRunner(tf, network, initial.weights, {
        precision,
        ...(times === null ? {} : { observe: times.observe }),
      });
      const source = createBatchSource(reader, parameters.seed);
      const { shards } = reader;
      const { batchSize, microBatchSize, seed } = parameters;
      const startedAt = performance.now();
      const result = await trainNetwork({
        ...{ tf, runner, source, shards },
        ...(times === null ? {} : { observe: times.observe }),
        recipe: recipeOf(parameters),
        validationSplit: parameters.validationSplit,
        checkpoint: checkpointOf(context, shards),
        checkpoints: createCheckpoints({
          folder: context.checkpointPath,
          onFailure: (message) => {
            context.warn(message);
          },
        }),
        checkpointMs: parameters.checkpointMinutes * 60_000,
        signal: context.signal,
        prepare: async () => {
          if (!initial.foldedBatchNorm) return;
          await rebuildBatchNorm({
            ...{ tf, runner, source, shards, seed },
            batchSize: microBatchSize ?? batchSize,
            onImages: (done, total) => {
              context.progress({ done, total, unit: 'images', label: 'batch-norm statistics' });
            },
          });
        },
        onInterrupt: ({ epoch, step }) => {
          context.notice(`saved after epoch ${epoch}, step ${step}; the next run goes on there`);
        },
        onResume: ({ epoch, step }) => {
          context.notice(
            epoch > parameters.epochs
              ? 'resumes after the last epoch'
              : `resumes from epoch ${epoch}, step ${step}`,
          );
        },
        onProgress: (progress) => {
          showProgress(context, progress);
        },
        onEpoch: (record) => {
          context.log(JSON.stringify(record));
        },
      });
      const trainingMs = performance.now() - startedAt;
      const exportError = await exportCheckedOnnx({
        ...{ tf, runner, source, shards },
        path: context.outputs['model']!, // declared outputs always have a path
        threadCount: context.resources.cpuCount,
      });
      await writeOutputs(context, network, runner.readWeights(), shards, result);
      const kernelTimes = times?.read() ?? null;
      for (const line of kernelTimeLines(kernelTimes ?? [])) context.log(line);
      await writeMetrics(context, {
        ...{ result, initial, network, exportError, trainingMs, kernelTimes },
      });
      runner.dispose();
    } finally {
      await reader.close();
    }
  },
});

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

function checkpointOf(context: Context, shards: ImageShards): 'best' | 'last' {
  const { checkpoint, validationSplit, patience } = context.parameters;
  if (patience !== null && shards.splits[validationSplit].entries.length === 0) {
    context.warn(`there are no ${validationSplit} images, so "patience" never ends the training`);
  }
  if (checkpoint === 'last' || shards.splits[validationSplit].entries.length > 0) return checkpoint;
  context.warn(
    `there are no ${validationSplit} images to choose a checkpoint by; the last epoch's weights are kept`,
  );
  return 'last';
}

function describeStart(context: Context, initial: InitialWeights): void {
  context.log(`initial weights: ${initial.description}`);
  if (initial.replaced.length > 0) {
    context.log(`drawn anew, since their shapes differ: ${initial.replaced.join(', ')}`);
  }
}

function showProgress(context: Context, progress: TrainingProgress): void {
  const { imagesDone, imagesTotal, epoch, expectedEpochs, loss, lastValidation } = progress;
  const validation =
    lastValidation === null
      ? ''
      : `, validation ${(100 * lastValidation.top1Fraction).toFixed(1)} %`;
  const limited = expectedEpochs < context.parameters.epochs ? ' (time limit)' : '';
  context.progress({
    done: imagesDone,
    total: imagesTotal,
    unit: 'images',
    label: `epoch ${epoch}/${expectedEpochs}${limited}, loss ${loss.toFixed(3)}${validation}`,
  });
}

async function writeOutputs(
  { outputs }: Context,
  network: Network,
  weights: Map<string, Float32Array>,
  shards: ImageShards,
  { epochs }: TrainingResult,
): Promise<void> {
  // Declared outputs always have a path.
  await writeWeightsFolder(outputs['weights']!, network, weights, {
    classes: shards.classes,
    normalization: shards.normalization,
  });
  await writeFile(outputs['history']!, historyCsv(epochs));
  await writeEventFile(outputs['events']!, epochs.flatMap(epochEvents));
}

interface MetricsSource {
  readonly result: TrainingResult;
  readonly initial: InitialWeights;
  readonly network: Network;
  /** Largest relative difference between the ONNX file's logits and the network's own. */
  readonly exportError: number;
  readonly trainingMs: number;
  readonly kernelTimes: readonly KernelTime[] | null;
}

async function writeMetrics(context: Context, source: MetricsSource): Promise<void> {
  const { result, initial, network, exportError, trainingMs, kernelTimes } = source;
  const { chosenEpoch, epochs } = result;
  const imageCount = epochs.reduce((sum, { imagesPerSecond }) => sum + 1 / imagesPerSecond, 0);
  const { validation } = chosenEpoch;
  const neutral = 'neutral' as const;
  await writeMetricsFile(context.outputs['metrics']!, {
    values: [
      { name: 'epochs', value: epochs.length, unit: '', direction: neutral },
      { name: 'chosenEpoch', value: chosenEpoch.epoch, unit: '', direction: neutral },
      ...(validation === null
        ? []
        : ([
            {
              name: 'validationTop1Fraction',
              value: validation.top1Fraction,
              unit: 'fraction',
              direction: 'higher-is-better',
            },
            {
              name: 'validationLoss',
              value: validation.loss,
              unit: '',
              direction: 'lower-is-better',
            },
          ] as const)),
      { name: 'trainLoss', value: chosenEpoch.trainLoss, unit: '', direction: neutral },
      {
        name: 'imagesPerSecond',
        // The harmonic mean: every epoch has the same images.
        value: epochs.length / imageCount,
        unit: 'imagesPerSecond',
        direction: 'higher-is-better',
      },
      { name: 'trainingSeconds', value: trainingMs / 1000, unit: 's', direction: neutral },
      {
        name: 'exportErrorFraction',
        value: exportError,
        unit: 'fraction',
        direction: 'lower-is-better',
      },
    ],
    notes: [trainingNote(context, result, initial)],
    details: {
      network: { ...network.options },
      precision: precisionOf(context.parameters),
      initialWeights: initial.description,
      replacedParameters: [...initial.replaced],
      stoppedBy: result.stoppedBy,
      ...(kernelTimes === null ? {} : { kernelTimes: kernelTimes.map((time) => ({ ...time })) }),
    },
  });
}

/** What this CPU trains in. */
function precisionOf({ precision }: Parameters): Precision {
  return usablePrecision(precision, cpuHasBfloat16());
}

const NO_BFLOAT16 = 'this CPU has no instructions for bfloat16, so float32 is used';

/** One line for the table: `trained 14 epochs from random weights (time limit 60 min)`. */
function trainingNote(
  { parameters }: Context,
  { epochs, stoppedBy }: TrainingResult,
  initial: InitialWeights,
): string {
  const plural = epochs.length === 1 ? 'epoch' : 'epochs';
  const limit =
    stoppedBy === 'time-limit'
      ? ` (time limit ${String(parameters.timeLimitMinutes)} min)`
      : stoppedBy === 'early-stopping'
        ? ` (nothing better in the last ${String(parameters.patience)})`
        : '';
  const optimistic =
    parameters.validationSplit === 'test' && parameters.checkpoint === 'best'
      ? '; the test images chose the checkpoint, so their accuracy is optimistic'
      : '';
  const unlike = precisionOf(parameters) === parameters.precision ? '' : `; ${NO_BFLOAT16}`;
  return `trained ${epochs.length} ${plural} from ${initial.description}${limit}${optimistic}${unlike}`;
}
