import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SPLITS, type DatasetImage, type Split } from '../../src/data/dataset-index.ts';
import { GRADE_NAMES } from '../../src/data/generated-fundus/grades.ts';
import { IMAGE_FOLDER } from '../../src/data/write-dataset.ts';
import type { StageContext } from '../../src/stage/definition.ts';
import { createWorkerPool } from '../../src/workers/pool.ts';
import { runInOrder } from '../../src/workers/run-in-order.ts';
import type {
  GenerateImageRequest,
  GenerateImageResponse,
} from '../../src/workers/tasks/generate-images.ts';
import type { IngestParameters } from './parameters.ts';
import type { LabelledDataset } from './labelled-dataset.ts';

interface PlannedImage {
  readonly id: string;
  readonly label: number;
  readonly split: Split;
}

/** Draws the dataset into the artifact's folder; the same seed gives the same files. */
export async function generateDataset(
  context: StageContext<IngestParameters>,
  folder: string,
): Promise<LabelledDataset> {
  const { generate } = context.parameters;
  const planned = planImages(generate.imagesPerClass);
  await mkdir(join(folder, IMAGE_FOLDER), { recursive: true });
  const threadCount = Math.max(1, Math.min(context.resources.cpuCount, planned.length));
  const pool = createWorkerPool<GenerateImageRequest, GenerateImageResponse>(
    'generate-images',
    threadCount,
  );
  const images: DatasetImage[] = [];
  try {
    await runInOrder({
      items: planned,
      inFlight: threadCount * 2,
      signal: context.signal,
      process: ({ id, label }) =>
        pool.run({
          grade: label,
          sizePx: generate.sizePx,
          seed: generate.seed,
          stream: `generated-fundus/${id}`,
          folder,
        }),
      consume({ sha256, file }, index) {
        images.push({ ...planned[index]!, sha256, file }); // one result an item
        context.progress({ done: index + 1, total: planned.length, unit: 'images' });
      },
    });
  } finally {
    await pool.close();
  }
  return { classes: GRADE_NAMES, images };
}

function planImages(imagesPerClass: Readonly<Record<Split, number>>): PlannedImage[] {
  return SPLITS.flatMap((split) =>
    GRADE_NAMES.flatMap((name, label) =>
      Array.from({ length: imagesPerClass[split] }, (_, i) => ({
        id: `${split}/${name}/${String(i + 1).padStart(4, '0')}`,
        label,
        split,
      })),
    ),
  );
}
