import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InternalError } from '../diagnostics/errors.ts';
import { datasetIndexSchema, type DatasetImage } from './dataset-index.ts';
import { compareCodeUnits } from './natural-order.ts';

/** Folder of the photographs inside a dataset artifact. */
export const IMAGE_FOLDER = 'images';

/** Name of a photograph inside a dataset artifact; `extension` with its dot, in lower case. */
export function datasetFile(sha256: string, extension: string): string {
  return `${IMAGE_FOLDER}/${sha256}${extension}`;
}

/** Writes `dataset.json`, checked, its images sorted by id; the photographs are already in place. */
export async function writeDatasetIndex(
  folder: string,
  index: { readonly classes: readonly string[]; readonly images: readonly DatasetImage[] },
): Promise<void> {
  const images = [...index.images].sort((a, b) => compareCodeUnits(a.id, b.id));
  const parsed = datasetIndexSchema.safeParse({ format: 1, classes: index.classes, images });
  if (!parsed.success) throw new InternalError('a dataset index is not valid', parsed.error);
  await writeFile(join(folder, 'dataset.json'), `${JSON.stringify(parsed.data, null, 1)}\n`);
}
