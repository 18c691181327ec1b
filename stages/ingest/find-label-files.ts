import { basename, extname, join } from 'node:path';
import {
  findLabelColumns,
  isLabelHeader,
  isOneHotTable,
  type CsvTable,
} from '../../src/data/label-columns.ts';
import { listFolder, listImageFiles } from '../../src/data/list-image-files.ts';
import { surveyCsv } from '../../src/data/read-label-csv.ts';
import type { SourceContent } from '../../src/data/source-image.ts';
import { DataError } from '../../src/diagnostics/errors.ts';
import { shortenList } from '../../src/diagnostics/shorten-list.ts';
import type { IngestParameters } from './parameters.ts';
import { guessSplit } from './place-label-file.ts';

/** CSV files shown by name; the rest are counted. */
const SHOWN_FILES = 5;

export type LabelFile = NonNullable<IngestParameters['csv']>[number];

/** A CSV whose columns are not recognised. */
interface OtherCsv {
  readonly file: string;
  readonly table: CsvTable;
  /** A cell that names an image of the source; null when there is none. */
  readonly naming: ImageCell | null;
}

interface ImageCell {
  /** The header of its column. */
  readonly column: string;
  readonly cell: string;
  /** The first line, which is taken for the header, names an image itself. */
  readonly isHeader: boolean;
}

export interface FoundCsv {
  /**
   * Those whose columns are recognised, or named by the user; with their split, if the name tells. Those
   * with one column a class only where no other has a column of labels.
   */
  readonly labelFiles: readonly LabelFile[];
  readonly others: readonly OtherCsv[];
}

/** Whether a file can be one of labels by its name. */
export function isCsvName(name: string): boolean {
  return /\.csv$/i.test(name) && !/sample_?submission/i.test(name);
}

/** The CSV files at the top of a source, by whether they can be read for labels. */
export async function findLabelFiles(
  root: string,
  parameters: IngestParameters,
): Promise<FoundCsv> {
  const { files } = await listFolder(root);
  const csvFiles = files.filter(isCsvName);
  const areColumnsNamed =
    parameters.imageColumn !== undefined || parameters.labelColumn !== undefined;
  const withLabels: string[] = [];
  const oneHot = new Set<string>();
  const unlabelled: OtherCsv[] = [];
  let names: ReadonlySet<string> | undefined;
  for (const file of csvFiles) {
    const table = await surveyCsv(join(root, file), file);
    if (areColumnsNamed || isLabelHeader(table.header)) {
      withLabels.push(file);
      continue;
    }
    names ??= imageNames(await listImageFiles(root, 'every-path'));
    const naming = findImageCell(table, names);
    unlabelled.push({ file, table, naming });
    if (naming !== null && isOneHotTable(table, parameters)) oneHot.add(file);
  }
  const labelFiles = withLabels.length > 0 ? withLabels : [...oneHot];
  const others = unlabelled.filter(({ file }) => !labelFiles.includes(file));
  return {
    labelFiles: labelFiles.map((file) => {
      const split = labelFiles.length > 1 ? guessSplit(file) : undefined;
      return split === undefined ? { file } : { file, split };
    }),
    others,
  };
}

/**
 * Refuses a CSV that names images but whose columns are not known: it may well hold the labels, and
 * what the folders are called would be taken for the classes unseen.
 * @throws DataError `data/unknown-column`
 */
export function refuseUnknownColumns({ others }: FoundCsv, inFolders: SourceContent | null): void {
  for (const { file, table, naming } of others) {
    if (naming === null) continue;
    try {
      findLabelColumns(file, table, {});
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      const { column, cell, isHeader } = naming;
      const shown = isHeader
        ? `its first line, which is to name the columns, names the image "${cell}"`
        : `column "${column}" names images, such as "${cell}"`;
      const advice = isHeader ? 'put a line such as image,label at its top, or ' : '';
      const otherwise =
        inFolders === null
          ? ''
          : '; set layout: class-folders where the folders, not this CSV, tell the classes';
      throw new DataError({
        code: error.code,
        message: `${error.message}; ${shown}`,
        hint: `${advice}${error.hint ?? ''}${otherwise}`,
        cause: error,
      });
    }
  }
}

/** What to say of the CSV files that are not read. */
export function describeUnreadCsv({ labelFiles, others }: FoundCsv): string[] {
  const [first] = labelFiles;
  const unnaming = others.filter(({ naming }) => naming === null);
  const unknown = others.filter(({ naming }) => naming !== null);
  return [
    ...(unnaming.length === 0 ? [] : [`${areNotRead(unnaming)}: no column names images`]),
    ...(unknown.length === 0 || first === undefined
      ? []
      : [
          `${areNotRead(unknown)}: no columns of image and label are recognised, as they are in ${first.file}; the parameter csv says which CSV files to read`,
        ]),
  ];
}

function areNotRead(files: readonly OtherCsv[]): string {
  const names = files.map(({ file }) => file);
  return `${shortenList(names, SHOWN_FILES)} ${files.length === 1 ? 'is' : 'are'} not read`;
}

/** File names with and without their extension, in the Unicode form in which label files compare. */
function imageNames(paths: readonly string[]): ReadonlySet<string> {
  return new Set(paths.flatMap((path) => [nameOf(path), stemOf(path)]));
}

/**
 * The first cell that names an image. Bare numbers do so only in a column that names more than half
 * of all images: a list of classes or ages is full of numbers, too.
 */
function findImageCell({ header, rows }: CsvTable, names: ReadonlySet<string>): ImageCell | null {
  const lines = [header, ...rows.map(({ cells }) => cells)];
  for (const [at, column] of header.entries()) {
    const named = new Set<string>();
    for (const [index, cells] of lines.entries()) {
      const cell = (cells[at] ?? '').trim();
      const name = nameOf(cell);
      if (name === '' || !names.has(name)) continue;
      if (!/^\d+$/.test(name)) return { column, cell, isHeader: index === 0 };
      named.add(name);
    }
    const [cell] = named;
    // Every image is in the set twice, with its extension and without.
    if (cell !== undefined && named.size > names.size / 4) return { column, cell, isHeader: false };
  }
  return null;
}

function nameOf(path: string): string {
  return basename(path.replaceAll('\\', '/')).normalize('NFC');
}

function stemOf(path: string): string {
  return basename(nameOf(path), extname(path));
}
