import { basename, extname } from 'node:path';
import { DataError } from '../diagnostics/errors.ts';
import { shortenList } from '../diagnostics/shorten-list.ts';
import { hasImageExtension, listFiles } from './list-image-files.ts';
import { compareNatural } from './natural-order.ts';

/** Extensions that no one takes for those of photographs, so that nothing is said of them. */
const OTHER_EXTENSIONS = new Set(
  'csv tsv txt md rst rtf pdf doc docx xls xlsx ods ppt pptx json jsonl ndjson xml yaml yml toml ini cfg conf html htm css js ts py ipynb r m mat c cpp h sh bat log db sqlite lnk url zip gz tar tgz 7z rar bz2 xz md5 sha256 npy npz pkl pickle parquet arrow feather h5 hdf5 pt pth onnx pb tflite safetensors tfrecord lock bak tmp bib cff license'
    .split(' ')
    .map((name) => `.${name}`),
);

/** Files without an extension that are not photographs without one. */
const OTHER_NAMES =
  /^(licen[cs]e|readme|notice|authors|copying|changelog|citation|makefile|md5sums?|sha256sums?|thumbs|checksums?|version|contents)$/i;

/** Tables other than CSV, which may hold labels. */
const TABLE_EXTENSION = /\.(jsonl|ndjson|json|txt|tsv|xlsx?|ods|parquet)$/i;

/** Extensions or files shown; the rest are counted. */
const SHOWN = 6;

/**
 * Paths of the files below a folder that no stage reads: neither images nor CSV. None where it cannot be
 * listed: that is no reason to stop, for nothing of them is read.
 */
export async function listUnreadFiles(folder: string): Promise<string[]> {
  return listFiles(
    folder,
    (name) => !hasImageExtension(name) && !/\.csv$/i.test(name),
    'each-file-once',
  ).catch((error: unknown) => {
    if (error instanceof DataError) return [];
    throw error;
  });
}

/** Whether a file that no stage reads may be a photograph, by its name. */
export function isUnreadImage(path: string): boolean {
  const extension = extname(path).toLowerCase();
  if (hasImageExtension(path)) return false;
  return extension === '' ? !OTHER_NAMES.test(basename(path)) : !OTHER_EXTENSIONS.has(extension);
}

/**
 * How many files there are of each extension that is not read but may be that of photographs, such as
 * `12 .ppm, 6 .dcm, 1 without extension`; null when there are none.
 */
export function countUnreadImages(paths: readonly string[]): string | null {
  const counts = new Map<string, number>();
  for (const path of paths) {
    const extension = extname(path).toLowerCase();
    if (isUnreadImage(path)) counts.set(extension, (counts.get(extension) ?? 0) + 1);
  }
  if (counts.size === 0) return null;
  const parts = [...counts]
    .sort(([nameA, a], [nameB, b]) => b - a || compareNatural(nameA, nameB))
    .map(([extension, count]) => `${count} ${extension || 'without extension'}`);
  return shortenList(parts, SHOWN);
}

/** What to say of such files. */
export function describeUnreadFormats(paths: readonly string[]): string | null {
  const counted = countUnreadImages(paths);
  return counted === null
    ? null
    : `files of formats that are not read are left out: ${counted}; convert photographs among them to PNG or JPEG`;
}

/** What to say of tables that may hold labels, but are no CSV. */
export function describeUnreadTables(paths: readonly string[]): string | null {
  const tables = paths.filter(
    (path) =>
      TABLE_EXTENSION.test(path) && !/^(readme|licen[cs]e|requirements)/i.test(basename(path)),
  );
  if (tables.length === 0) return null;
  return `${shortenList(tables, SHOWN)} ${tables.length === 1 ? 'is' : 'are'} not read; labels in such a file have to be given as a CSV with a header line image,label`;
}
