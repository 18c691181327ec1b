import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { z } from 'zod';
import { openShardReader, type ImageShards } from '../../src/data/image-shards.ts';
import {
  writeTorchWeights,
  writeWeightsFolder,
  type WeightsDetails,
} from '../../src/models/weights-folder.ts';
import { loadTensorflow } from '../../src/runtime/tensorflow.ts';
import { defineStage, type StageContext } from '../../src/stage/definition.ts';
import { createBatchSource } from '../../src/training/batches.ts';
import { createCheckpoints } from '../../src/training/checkpoints.ts';
import { exportCheckedOnnx, USUAL_EXPORT_ERROR } from '../../src/training/export-checked-onnx.ts';
import { epochEvents, historyCsv } from '../../src/training/history.ts';
import {
  createKernelTimes,
  kernelTimeLines,
  type KernelTime,
} from '../../src/training/kernel-times.ts';
import { lookupOf, type NetworkRunner } from '../../src/training/network-runner.ts';
import { rebuildBatchNorm } from '../../src/training/rebuild-batch-norm.ts';
import { writeEventFile } from '../../src/training/tensorboard-events.ts';
import {
  trainNetwork,
  type TrainingProgress,
  type TrainingResult,
} from '../../src/training/training-loop.ts';
import { createTrainingJournal } from '../../src/training/training-journal.ts';
import { keepDiverged, refuseKnownDivergence, shownFolder } from './diverged-training.ts';
import { trainParameters } from './parameters.ts';
import { interruptionNote } from './interruption-note.ts';
import { recipeOf } from './recipe-of.ts';
import { recipeWarnings } from './recipe-problems.ts';
import { imagesAtATime, startNetwork } from './start-network.ts';
import { unusedWarnings } from './unused-parameters.ts';
import { warmupWarning } from './warmup-warning.ts';
import { endedWithin, writeMetrics } from './write-metrics.ts';

/** Kernels whose time a run shows. */
const SHOWN_KERNELS = 10;

type Context = StageContext<z.output<typeof trainParameters>>;

export const train = defineStage({
  kind: 'train',
  version: 12,
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
      description:
        'Weights to go on training from. For PyTorch: model.safetensors; beside it last.safetensors, of the last epoch, or with checkpoint last best.safetensors, of the best one.',
    },
    history: {
      kind: 'history',
      description:
        'Losses and accuracies by epoch; while it trains and after an interruption in artifacts/checkpoints.',
    },
    events: {
      kind: 'events',
      description:
        "TensorBoard scalars under the paper's tags; while it trains as history (tensorboard --logdir artifacts).",
    },
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
  // V8's young generation in its full size from the start, not after some epochs: memory stays as it is after the first.
  nodeFlags: ['--min-semi-space-size=16'],
  async run(context) {
    const { parameters, inputs } = context;
    await refuseKnownDivergence(context);
    for (const warning of [...recipeWarnings(parameters), ...unusedWarnings(parameters)]) {
      context.warn(warning);
    }
    const reader = await openShardReader(inputs['images']!.path); // declared as required
    try {
      const tf = await loadTensorflow();
      const times = parameters.kernelTimes === 'measure' ? createKernelTimes() : null;
      const { shards } = reader;
      const observe = times?.observe ?? null;
      const { network, runner, initial } = await startNetwork(context, tf, shards, observe);
      const source = createBatchSource(reader, parameters.seed);
      const { seed } = parameters;
      const details = { classes: shards.classes, normalization: shards.normalization };
      const onFailure = (message: string): void => {
        context.warn(message);
      };
      context.notice(
        `while it trains, history.csv and events (for TensorBoard) grow in ${shownFolder(context)}`,
      );
      const result = await trainNetwork({
        ...{ tf, runner, source, shards },
        ...(times === null ? {} : { observe: times.observe }),
        recipe: recipeOf(parameters),
        validationSplit: parameters.validationSplit,
        checkpoint: checkpointOf(context, shards),
        checkpoints: createCheckpoints({ folder: context.checkpointPath, onFailure }),
        journal: createTrainingJournal({ folder: context.checkpointPath, onFailure }),
        keepOther: async (which, weights) => {
          // Declared outputs always have a path.
          const path = join(context.outputs['weights']!, `${which}.safetensors`);
          await writeTorchWeights(path, network, weights, details);
        },
        keepDiverged: (error, kept) => keepDiverged(context, error, { kept, network, details }),
        checkpointMs: parameters.checkpointMinutes * 60_000,
        signal: context.signal,
        prepare: async () => {
          if (!initial.foldedBatchNorm) return;
          await rebuildBatchNorm({
            ...{ tf, runner, source, shards, seed },
            batchSize: imagesAtATime(parameters),
            signal: context.signal,
            onImages: (done, total) => {
              context.progress({ done, total, unit: 'images', label: 'batch-norm statistics' });
            },
          });
        },
        onInterrupt: (place, saved) => {
          context.notice(interruptionNote(place, saved));
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
      const trainImageCount = shards.splits.train.entries.length;
      const within = endedWithin(result, trainImageCount);
      if (within !== null && result.epochs.length === 1) context.warn(shorterThanEpoch(within));
      const warmup = warmupWarning(result, { ...parameters, trainImageCount });
      if (warmup !== null) context.warn(warmup);
      await writeOutputs(context, runner, details, result);
      const exportError = await exportCheckedOnnx({
        ...{ tf, runner, source, shards },
        path: context.outputs['model']!, // declared outputs always have a path
        threadCount: context.resources.cpuCount,
      });
      if (exportError > USUAL_EXPORT_ERROR) context.warn(illConditioned(exportError));
      const kernelTimes = times?.read() ?? null;
      if (kernelTimes !== null) showKernelTimes(context, kernelTimes);
      await writeMetrics(context, {
        ...{ result, initial, network, exportError, kernelTimes, trainImageCount },
      });
      runner.dispose();
    } finally {
      await reader.close();
    }
  },
});

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

function shorterThanEpoch(within: string): string {
  return `the first epoch takes longer than "timeLimitMinutes" allows, and with the time the schedule was over: the training ended ${within}; raise the limit, or set "schedule" to constant, which goes on to the end of the epoch`;
}

function illConditioned(exportError: number): string {
  return `the ONNX model's outputs are within ${exportError.toExponential(1)} of the trained network's, where rounding makes 1e-6 of most networks: this one carries small differences far, so its figures are as uncertain; train with a lower "learningRate" or larger batches`;
}

/** The log of a stage that succeeds is not kept, and all of them are in the metrics. */
function showKernelTimes(context: Context, times: readonly KernelTime[]): void {
  const lines = kernelTimeLines(times);
  const shown = lines.slice(0, SHOWN_KERNELS);
  context.notice(`TensorFlow's kernels, ${shown.length} of ${lines.length}, the costliest first:`);
  for (const line of shown) context.notice(line);
}

function showProgress(context: Context, progress: TrainingProgress): void {
  const { imagesDone, imagesTotal, epoch, expectedEpochs, loss, lastValidation } = progress;
  const { imagesPerSecond, remainingMs } = progress;
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
    unitsPerSecond: imagesPerSecond,
    ...(remainingMs === null ? {} : { remainingMs }),
  });
}

async function writeOutputs(
  { outputs }: Context,
  { network, parameters }: NetworkRunner,
  details: WeightsDetails,
  { epochs }: TrainingResult,
): Promise<void> {
  // Declared outputs always have a path.
  await writeWeightsFolder(outputs['weights']!, network, lookupOf(parameters), details);
  await writeFile(outputs['history']!, historyCsv(epochs));
  await writeEventFile(outputs['events']!, epochs.flatMap(epochEvents));
}
