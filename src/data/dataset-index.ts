import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

export const SPLITS = ['train', 'validation', 'test'] as const;
export type Split = (typeof SPLITS)[number];

/** One photograph of a dataset artifact. */
const datasetImageSchema = z.strictObject({
  /** Unique, stable, readable: the path below the source without extension, such as `train/0/IDRiD_001`. */
  id: z.string().min(1),
  /** Relative to the artifact's folder, `images/<sha256><extension>`. */
  file: z.string().min(1),
  sha256: z.string().length(64),
  /** Index into `classes`. */
  label: z.int().min(0),
  split: z.enum(SPLITS),
  /** Images of one group (a patient) never stand in two splits. */
  group: z.string().exactOptional(),
});
export type DatasetImage = z.infer<typeof datasetImageSchema>;

/** `dataset.json` of a `dataset` artifact; `images` are sorted by id in code-unit order. */
export const datasetIndexSchema = z.strictObject({
  format: z.literal(1),
  /** Class names in label order. */
  classes: z.array(z.string()).min(1),
  images: z.array(datasetImageSchema),
});
export type DatasetIndex = z.infer<typeof datasetIndexSchema>;

/** The index of a dataset artifact in `folder`. */
export async function readDatasetIndex(folder: string): Promise<DatasetIndex> {
  const text = await readFile(join(folder, 'dataset.json'), 'utf8');
  return datasetIndexSchema.parse(JSON.parse(text));
}
