import { join } from 'node:path';
import type { AugmentationRanges } from '../../src/data/augment-image.ts';
import {
  addSums,
  NO_SUMS,
  normalizationOf,
  type ChannelSums,
} from '../../src/data/channel-sums.ts';
import { readDatasetIndex, SPLITS, type DatasetImage } from '../../src/data/dataset-index.ts';
import type { ImageShards, Normalization } from '../../src/data/image-shards.ts';
import { NORMALIZATION_PRESETS } from '../../src/data/normalization-presets.ts';
import { createShardWriter, type ShardWriter } from '../../src/data/shard-writer.ts';
import { DataError } from '../../src/diagnostics/errors.ts';
import { defineStage, type StageContext } from '../../src/stage/definition.ts';
import { writeMetricsFile } from '../../src/stage/metrics-file.ts';
import { createWorkerPool } from '../../src/workers/pool.ts';
import { runInOrder } from '../../src/workers/run-in-order.ts';
import type {
  DecodeImagesRequest,
  DecodeImagesResponse,
} from '../../src/workers/tasks/decode-images.ts';
import {
  augmentParameters,
  DEFAULT_FLIP_PROBABILITY,
  type AugmentParameters,
} from './parameters.ts';

/** Images a worker is given at a time: enough to hide the messages, few enough to keep little in memory. */
const IMAGES_PER_REQUEST = 4;
/**
 * Requests a worker works on at a time: while sharp decodes an image of one in its own thread, the
 * other is read, copied and summed. More gains nothing.
 */
const REQUESTS_PER_WORKER = 2;

export const augment = defineStage({
  kind: 'augment',
  version: 2,
  description:
    'Decodes the images of a dataset, resizes and crops them, makes changed copies of the training images, and packs all into uint8 shards.',
  parameters: augmentParameters,
  inputs: {
    dataset: { kinds: ['dataset'], description: 'Labelled images with their splits.' },
  },
  outputs: {
    images: { kind: 'image-shards', description: 'Packed pixels, labels and normalization.' },
    report: { kind: 'metrics', description: 'Counts by split, mean and standard deviation.' },
  },
  runtimes: ['sharp'],
  cache: 'content',
  scheduling: 'parallel',
  defaultCpuCount: 'all',
  isolation: 'in-process',
  async run(context) {
    const { inputs, outputs, parameters } = context;
    for (const warning of unusedWarnings(parameters)) context.warn(warning);
    // Declared above, so the engine has checked that they are there.
    const datasetFolder = inputs['dataset']!.path;
    const index = await readDatasetIndex(datasetFolder);
    const images = SPLITS.filter((split) => parameters.splits.includes(split)).flatMap((split) =>
      index.images.filter((image) => image.split === split),
    );
    if (images.length === 0) throw noImages(parameters);
    const writer = createShardWriter(outputs['images']!, {
      width: parameters.sizePx,
      height: parameters.sizePx,
      classes: index.classes,
    });
    let shards: ImageShards;
    try {
      const sums = await writeImages(context, { datasetFolder, images, writer });
      shards = await writer.finish(chooseNormalization(parameters, sums));
    } catch (error) {
      await writer.abandon();
      throw error;
    }
    await writeReport(outputs['report']!, shards);
  },
});

/** Writes every image in order; gives the sums over the first copies of the training images. */
async function writeImages(
  context: StageContext<AugmentParameters>,
  work: {
    readonly datasetFolder: string;
    readonly images: readonly DatasetImage[];
    readonly writer: ShardWriter;
  },
): Promise<ChannelSums> {
  const { parameters, resources, signal } = context;
  const { datasetFolder, images, writer } = work;
  const batches = Array.from({ length: Math.ceil(images.length / IMAGES_PER_REQUEST) }, (_, i) =>
    images.slice(i * IMAGES_PER_REQUEST, (i + 1) * IMAGES_PER_REQUEST),
  );
  const threadCount = Math.min(resources.cpuCount, batches.length);
  const pool = createWorkerPool<DecodeImagesRequest, DecodeImagesResponse>(
    'decode-images',
    threadCount,
    REQUESTS_PER_WORKER,
  );
  const settings = {
    width: parameters.sizePx,
    height: parameters.sizePx,
    circleCrop: parameters.circleCrop,
    limitPixels: Math.round(parameters.limitMegapixels * 1e6),
    seed: parameters.seed,
  };
  const replicas = planReplicas(parameters);
  const byteCount = parameters.sizePx ** 2 * 3;
  const freeTargets = Array.from(
    // As many requests as are worked on wait, decoded, for their turn to be written.
    { length: 2 * threadCount * REQUESTS_PER_WORKER },
    () => new SharedArrayBuffer(IMAGES_PER_REQUEST * parameters.copies * byteCount),
  );
  let trainingSums = NO_SUMS;
  let done = 0;
  try {
    await runInOrder({
      items: batches,
      inFlight: freeTargets.length,
      signal,
      async process(batch) {
        const target = freeTargets.pop()!; // one for each request in flight
        const images = batch.map(({ id, file, split }) => ({
          id,
          path: join(datasetFolder, file),
          replicas: split === 'train' ? replicas : [],
        }));
        return { target, images, response: await pool.run({ settings, target, images }) };
      },
      async consume({ target, images: requested, response }, batchIndex) {
        if ('failure' in response) throw new DataError(response.failure);
        let offset = 0;
        for (const [i, image] of batches[batchIndex]!.entries()) {
          const { replicas } = requested[i]!; // one of each an image
          for (let copy = 0; copy <= replicas.length; copy += 1, offset += byteCount) {
            const pixels = new Uint8Array(target, offset, byteCount);
            const { id, label, split } = image;
            await writer.append(split, { id, label, copy }, pixels);
          }
          if (image.split === 'train') trainingSums = addSums(trainingSums, response.sums[i]!);
        }
        freeTargets.push(target);
        done += requested.length;
        context.progress({ done, total: images.length, unit: 'images' });
      },
    });
  } finally {
    await pool.close();
  }
  return trainingSums;
}

/** Changes that were asked for and of which there is no copy. */
function unusedWarnings(parameters: AugmentParameters): string[] {
  const { copies, randomlyFlippedCopies, flipProbability } = parameters;
  const changes = (['rotationDegrees', 'brightness', 'contrast'] as const).filter(
    (name) => copies === 1 && parameters[name] !== 0,
  );
  const warnings = changes.map(
    (name) => `"${name}" has no effect: only copies after the first are changed, and "copies" is 1`,
  );
  if (randomlyFlippedCopies > 0 || flipProbability === DEFAULT_FLIP_PROBABILITY) return warnings;
  return [...warnings, '"flipProbability" has no effect: "randomlyFlippedCopies" is 0'];
}

/** The flipped copies come last, as in the paper's scripts. */
function planReplicas(parameters: AugmentParameters): AugmentationRanges[] {
  const { copies, randomlyFlippedCopies, flipProbability } = parameters;
  const { rotationDegrees, brightness, contrast } = parameters;
  return Array.from({ length: copies - 1 }, (_, i) => ({
    flipProbability: i + 1 >= copies - randomlyFlippedCopies ? flipProbability : 0,
    rotationDegrees,
    brightness,
    contrast,
  }));
}

function chooseNormalization(
  { normalization }: AugmentParameters,
  trainingSums: ChannelSums,
): Normalization {
  if (typeof normalization === 'object') return normalization;
  if (normalization !== 'computed') {
    const { mean, std } = NORMALIZATION_PRESETS[normalization];
    return { mean: [...mean], std: [...std] };
  }
  const computed = normalizationOf(trainingSums);
  if (computed === null) {
    throw new DataError({
      code: 'data/no-normalization',
      message:
        'mean and standard deviation cannot be computed: there are no training images, or a colour channel is the same everywhere',
      hint: 'set normalization to paper, imagenet, tf, unit or to given figures',
    });
  }
  return computed;
}

async function writeReport(path: string, shards: ImageShards): Promise<void> {
  await writeMetricsFile(path, {
    values: SPLITS.map((split) => ({
      name: `${split}ImageCount`,
      value: shards.splits[split].entries.length,
      unit: 'images',
      direction: 'neutral',
    })),
    notes: [],
    details: {
      widthPx: shards.width,
      heightPx: shards.height,
      normalization: shards.normalization,
      shardCount: SPLITS.reduce((sum, split) => sum + shards.splits[split].files.length, 0),
    },
  });
}

function noImages({ splits }: AugmentParameters): DataError {
  return new DataError({
    code: 'data/no-images',
    message: `the dataset has no image in ${splits.length === SPLITS.length ? 'any split' : `the split(s) ${splits.join(', ')}`}`,
    hint: `known splits: ${SPLITS.join(', ')}`,
  });
}
