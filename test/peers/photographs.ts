import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { normalizePixels, openShardReader, type ImageShards } from '../../src/data/image-shards.ts';
import { packImages } from '../../src/quantization/pack-images.ts';
import type { ImageSelection } from '../../src/workers/run-image-batches.ts';
import { requiredImages, say } from '../support/benchmark-program.ts';
import type { PeerModel } from './models.ts';

/** The photographs as one model wants them, decoded once for all tools. */
export interface Photographs {
  /** Image shards: split `train` holds the calibration images, `test` those that are scored. */
  readonly folder: string;
  /** The normalized calibration images, float32 [count, 3, size, size], and nothing else. */
  readonly inputsPath: string;
  readonly calibrationCount: number;
  readonly testImages: ImageSelection;
  /** Those of the training split that do not calibrate: with the test images a larger sample of unseen ones. */
  readonly otherImages: ImageSelection;
  /** The grade of every test image: the name of its folder. */
  readonly labels: readonly number[];
  /** Of what the pixels depend on. */
  readonly key: string;
}

export interface PhotographOptions {
  readonly shared: string;
  readonly workFolder: string;
  readonly calibrationCount: number;
}

/**
 * Decodes evenly spaced photographs of IDRiD's sorted training split for calibration and all test
 * photographs. Where more are wanted than there are, they repeat: for memory, not for accuracy.
 */
export async function preparePhotographs(
  model: Pick<PeerModel, 'sizePx' | 'normalization'>,
  { shared, workFolder, calibrationCount }: PhotographOptions,
): Promise<Photographs> {
  const data = join(shared, 'data', 'idrid');
  const allTrainFiles = await requiredImages(join(data, 'train'));
  const trainFiles = evenlySpaced(allTrainFiles, calibrationCount);
  const calibrating = new Set(trainFiles);
  const otherFiles = allTrainFiles.filter((file) => !calibrating.has(file));
  const testFiles = await requiredImages(join(data, 'test'));
  const settings = { ...model.normalization, sizePx: model.sizePx, calibrationCount, OTHERS };
  const key = createHash('sha256').update(JSON.stringify(settings)).digest('hex').slice(0, 12);
  const folder = join(workFolder, 'photographs', key);
  if (!existsSync(folder)) {
    const count = trainFiles.length + testFiles.length + otherFiles.length;
    say(`decoding ${count} photographs at ${model.sizePx} px`);
    await rm(`${folder}.partial`, { recursive: true, force: true });
    await mkdir(join(`${folder}.partial`, OTHERS), { recursive: true });
    await pack(`${folder}.partial`, trainFiles, testFiles, model);
    if (otherFiles.length > 0) {
      await packImages({
        ...packing(model),
        files: otherFiles,
        folder: join(`${folder}.partial`, OTHERS),
      });
    }
    await rename(`${folder}.partial`, folder);
  }
  return {
    folder,
    inputsPath: join(folder, 'inputs.f32'),
    calibrationCount: trainFiles.length,
    testImages: { folder, split: 'test', indices: [...testFiles.keys()] },
    otherImages: { folder: join(folder, OTHERS), split: 'train', indices: [...otherFiles.keys()] },
    labels: testFiles.map((file) => Number(basename(dirname(file)))),
    key,
  };
}

/** Folder of the photographs that neither calibrate nor are scored; where the stages do not look for images. */
const OTHERS = 'others';

function packing({ sizePx, normalization }: Pick<PeerModel, 'sizePx' | 'normalization'>) {
  return { width: sizePx, height: sizePx, normalization };
}

/** Packs both lists one after the other, then divides the one shard into two. */
async function pack(
  folder: string,
  trainFiles: readonly string[],
  testFiles: readonly string[],
  model: Pick<PeerModel, 'sizePx' | 'normalization'>,
): Promise<void> {
  await packImages({ ...packing(model), files: [...trainFiles, ...testFiles], folder });
  const shardsPath = join(folder, 'images.json');
  const shards = JSON.parse(await readFile(shardsPath, 'utf8')) as ImageShards; // written just now
  const pixels = await readFile(join(folder, 'images.bin'));
  const trainBytes = trainFiles.length * model.sizePx ** 2 * 3;
  await writeFile(join(folder, 'train.bin'), pixels.subarray(0, trainBytes));
  await writeFile(join(folder, 'test.bin'), pixels.subarray(trainBytes));
  await rm(join(folder, 'images.bin'));
  const { entries } = shards.splits.train;
  const entriesOf = (first: number, end: number): typeof entries =>
    // A repeated photograph gets an id of its own.
    entries.slice(first, end).map((entry, i) => ({ ...entry, id: `${entry.id}#${i}` }));
  const divided: ImageShards = {
    ...shards,
    splits: {
      ...shards.splits,
      train: { entries: entriesOf(0, trainFiles.length), files: ['train.bin'] },
      test: { entries: entriesOf(trainFiles.length, entries.length), files: ['test.bin'] },
    },
  };
  await writeFile(shardsPath, JSON.stringify(divided));
  await writeInputs(folder, trainFiles.length);
}

async function writeInputs(folder: string, count: number): Promise<void> {
  const reader = await openShardReader(folder);
  const { width, height, normalization } = reader.shards;
  const pixels = new Uint8Array(width * height * 3);
  const values = new Float32Array(pixels.length); // [1, 3, H, W]
  const file = await open(join(folder, 'inputs.f32'), 'w');
  try {
    for (let i = 0; i < count; i += 1) {
      await reader.read('train', i, pixels);
      normalizePixels(pixels, 1, width * height, normalization, values);
      await file.write(new Uint8Array(values.buffer));
    }
  } finally {
    await file.close();
    await reader.close();
  }
}

function evenlySpaced<T>(items: readonly T[], count: number): T[] {
  return Array.from({ length: count }, (_, i) => {
    const position = count > items.length ? i : Math.floor((i * items.length) / count);
    return items[position % items.length]!; // within the list by the remainder
  });
}
