import { join } from 'node:path';
import { findLabelColumns } from '../../src/data/label-columns.ts';
import { listFiles, listImageFiles } from '../../src/data/list-image-files.ts';
import { surveyCsv } from '../../src/data/read-label-csv.ts';
import { DataError } from '../../src/diagnostics/errors.ts';
import { shortenList } from '../../src/diagnostics/shorten-list.ts';
import { isCsvName, type LabelFile } from './find-label-files.ts';
import type { IngestParameters } from './parameters.ts';
import { createLabelFilePlacer, type Placement } from './place-label-file.ts';

/** More CSV files than this belong to the images, not to the dataset. */
const MAXIMUM_FILES = 100;

/** Label files shown by name; the rest are counted. */
const SHOWN_FILES = 8;

/** A CSV below the top whose columns are recognised and which names images of the source. */
export interface PlacedLabelFile {
  readonly file: string;
  readonly placement: Placement;
}

/**
 * The label files in folders of the source, and where their images lie; those with one column a class
 * only where no other has a column of labels.
 */
export async function findDeeperLabelFiles(
  root: string,
  parameters: IngestParameters,
): Promise<readonly PlacedLabelFile[]> {
  const files = (await listFiles(root, isCsvName, 'each-file-once')).filter((path) =>
    path.includes('/'),
  );
  if (files.length === 0 || files.length > MAXIMUM_FILES) return [];
  const place = createLabelFilePlacer(await listImageFiles(root, 'every-path'));
  const found: PlacedLabelFile[] = [];
  const oneHot: PlacedLabelFile[] = [];
  for (const file of files) {
    const { named, isOneHot } = await readImageNames(root, file, parameters);
    const placement = named.length === 0 ? null : place(file, named);
    if (placement !== null) (isOneHot ? oneHot : found).push({ file, placement });
  }
  return found.length > 0 ? found : oneHot;
}

interface ImageNames {
  readonly named: readonly string[];
  /** The labels are one column a class. */
  readonly isOneHot: boolean;
}

/** The cells of the image column; none where the file is no label file. */
async function readImageNames(
  root: string,
  file: string,
  parameters: IngestParameters,
): Promise<ImageNames> {
  try {
    const table = await surveyCsv(join(root, file), file);
    const { image, label } = findLabelColumns(file, table, parameters);
    const named = table.rows.map(({ cells }) => (cells[image] ?? '').trim());
    return { named: named.filter((name) => name !== ''), isOneHot: typeof label !== 'number' };
  } catch (error) {
    // Nobody has asked for this file: one that cannot be read, or has other columns, is passed over.
    if (error instanceof DataError) return { named: [], isOneHot: false };
    throw error;
  }
}

/**
 * What to read of label files that were looked for: all, each with its split and folder, where there is
 * but one or each is of a split of its own, and their images lie in one place.
 * @throws DataError `data/unclear-labels`, with the parameter `csv` to copy
 */
export function chooseLabelFiles(found: readonly PlacedLabelFile[]): readonly LabelFile[] {
  const splits = found.map(({ placement }) => placement.split);
  const faults = found.flatMap(({ file, placement }) => {
    const { imageFolders, foundCount, namedCount, split } = placement;
    if (foundCount < namedCount) return [`${file} names ${namedCount} images, ${foundCount} found`];
    if (imageFolders.length > 1) return [`${file} fits the images of ${listed(imageFolders)}`];
    if (imageFolders.length === 0) return [`${file} fits images of another split only`];
    if (found.length === 1) return [];
    if (split === undefined) return [`${file} tells no split by its name`];
    const isAlone = splits.filter((other) => other === split).length === 1;
    return isAlone ? [] : [`${file} is one of several of ${split}`];
  });
  const labelFiles = found.map((one) => toLabelFile(one, found.length > 1));
  if (faults.length === 0) return labelFiles;
  throw new DataError({
    code: 'data/unclear-labels',
    message: `CSV files in folders of the source name its images, but not which of them hold what: ${shortenList(faults, SHOWN_FILES, '; ')}`,
    hint: `add to the parameters, with the lines, splits and folders that are meant, ${formatCsvParameter(labelFiles)}; or set layout: class-folders where the folders tell the classes`,
  });
}

function toLabelFile({ file, placement }: PlacedLabelFile, hasSplit: boolean): LabelFile {
  const { split, imageFolders } = placement;
  return {
    file,
    ...(hasSplit && split !== undefined ? { split } : {}),
    imageFolder: imageFolders[0] ?? '',
  };
}

/** What to say of label files that were found where none is named. */
export function describeLabelFiles(labelFiles: readonly LabelFile[]): string {
  return `labels are read from CSV files found in the folders, as with ${formatCsvParameter(labelFiles)}; set csv to read others, or layout: class-folders where the folders tell the classes`;
}

/** As a line of YAML, to copy. */
function formatCsvParameter(labelFiles: readonly LabelFile[]): string {
  const shown = labelFiles.map(({ file, split, imageFolder }) => {
    const folder = imageFolder === undefined ? '' : `, imageFolder: ${JSON.stringify(imageFolder)}`;
    return `{ file: ${JSON.stringify(file)}${split === undefined ? '' : `, split: ${split}`}${folder} }`;
  });
  return `csv: [${shown.join(', ')}]`;
}

function listed(folders: readonly string[]): string {
  return folders.map((folder) => (folder === '' ? 'the source' : `${folder}/`)).join(' and ');
}
