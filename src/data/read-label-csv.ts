import { readFile } from 'node:fs/promises';
import { basename, extname, isAbsolute, join, posix, relative } from 'node:path';
import { CsvError, parse } from 'csv-parse/sync';
import { DataError } from '../diagnostics/errors.ts';
import { shortenList } from '../diagnostics/shorten-list.ts';
import { decodeLeniently, decodeUtf8 } from './csv-encoding.ts';
import type { Split } from './dataset-index.ts';
import { detectColumns } from './detect-columns.ts';
import { explainMissing } from './explain-missing.ts';
import {
  describeClassColumns,
  findLabelColumns,
  isOne,
  type ColumnRequest,
  type CsvTable,
  type LabelColumns,
} from './label-columns.ts';
import { listImageFiles } from './list-image-files.ts';
import { parseSplitName, readClassName, type SourceImage } from './source-image.ts';

/** Problems of one kind shown by name. */
const SHOWN = 5;

/** What to do about images of which nothing is known. */
const ADD_FILES =
  'add the files, set imageFolder of this CSV to where they lie, or set layout: class-folders if the CSV is not meant';

export interface LabelCsvRequest extends ColumnRequest {
  /** Absolute path of the source; no image may lie outside. */
  readonly root: string;
  /** Path of the CSV below the source. */
  readonly file: string;
  /** Folder below the source in which the images are looked for; '' for the source itself. */
  readonly imageFolder: string;
  /** The folder is a guess: rows may name paths from the source instead. */
  readonly isFolderGuessed?: boolean;
  /** Split of all rows. */
  readonly split?: Split;
  /** The split is a guess: a column of splits says more. */
  readonly isSplitGuessed?: boolean;
  /** Tells the groups by the paths: then no column is taken for them that is not named. */
  readonly groupPattern?: string;
}

export interface LabelledRows {
  readonly images: readonly SourceImage[];
  /** What to say of columns that were recognised by their name. */
  readonly notes: readonly string[];
}

/**
 * The images a CSV names, with their labels. An image may be given as a path below the image folder or
 * by its bare name, with or without extension.
 *
 * @throws DataError `data/invalid-csv`, `data/unknown-column`, `data/path-outside`,
 *   `data/missing-images`, `data/missing-label`, `data/unknown-split`
 */
export async function readLabelCsv(request: LabelCsvRequest): Promise<LabelledRows> {
  const { root, file, imageFolder } = request;
  refuseOutside(file, '', 'the parameter csv');
  refuseOutside(imageFolder, '', 'the parameter csv.imageFolder');
  const table = await readCsvTable(join(root, file), file, decodeUtf8);
  const { columns, notes } = findColumns(request, table);
  const locate = await createImageLocator(request);
  const missing: string[] = [];
  const unlabelled: string[] = [];
  const images: SourceImage[] = [];
  for (const { cells, line } of table.rows) {
    const named = nameIn(cells, columns);
    if (named === '') continue; // spreadsheets pad their files with empty rows
    const place = `${file}:${line}`;
    const path = await locate(named, place);
    const className = classIn(cells, columns, table);
    if (path === undefined) missing.push(named);
    if (className === '') unlabelled.push(place);
    if (path === undefined || className === '') continue;
    const split = readSplit(cells, columns, request, place);
    const group = columns.group === undefined ? '' : (cells[columns.group] ?? '').trim();
    images.push({
      id: path,
      path: join(root, path),
      className,
      ...(split === undefined ? {} : { split }),
      ...(group === '' ? {} : { group }),
    });
  }
  if (missing.length > 0) throw await missingImages(request, missing, table.rows.length);
  if (unlabelled.length > 0) throw missingLabels(unlabelled);
  return { images, notes };
}

function findColumns(request: LabelCsvRequest, table: CsvTable): ReturnType<typeof detectColumns> {
  const { header, rows } = table;
  const { file, split, isSplitGuessed = false, splitColumn, groupColumn, groupPattern } = request;
  const isSplitTold = splitColumn !== undefined || (split !== undefined && !isSplitGuessed);
  const columns = findLabelColumns(file, table, request);
  const classes = describeClassColumns(file, table, columns);
  const detected = detectColumns({
    file,
    header,
    rows: rows.map(({ cells }) => cells).filter((cells) => nameIn(cells, columns) !== ''),
    columns,
    wanted: [
      ...(isSplitTold ? [] : (['split'] as const)),
      ...(groupColumn !== undefined || groupPattern !== undefined ? [] : (['group'] as const)),
    ],
  });
  return classes === null ? detected : { ...detected, notes: [classes, ...detected.notes] };
}

/** The class a row is of; '' for none. */
function classIn(cells: readonly string[], { label }: LabelColumns, { header }: CsvTable): string {
  if (typeof label === 'number') return normaliseLabel(cells[label] ?? '');
  return normaliseLabel(header[label.find((at) => isOne(cells[at] ?? '')) ?? -1] ?? '');
}

/** The image a row names; '' for none. */
function nameIn(cells: readonly string[], columns: LabelColumns): string {
  return (cells[columns.image] ?? '').trim();
}

/**
 * A CSV in whatever encoding: it may be none that is read for its labels.
 * @throws DataError `data/invalid-csv`
 */
export async function surveyCsv(path: string, shownName: string): Promise<CsvTable> {
  return readCsvTable(path, shownName, decodeLeniently);
}

async function readCsvTable(
  path: string,
  shownName: string,
  decode: (bytes: Buffer, shownName: string) => string,
): Promise<CsvTable> {
  let records: { record: string[]; info: { lines: number } }[];
  let text = '';
  let readLines = 0;
  try {
    text = decode(await readFile(path), shownName);
    // The type of `info` results is not expressed by the package's overloads.
    records = parse(text, {
      bom: true,
      delimiter: guessDelimiter(text),
      // Files that were joined or edited on two systems have more than one kind.
      record_delimiter: ['\r\n', '\n', '\r'],
      relax_column_count: true,
      skip_empty_lines: true,
      skip_records_with_empty_values: true,
      info: true,
      on_record: (record: string[], { lines }) => {
        readLines = lines;
        return record;
      },
    }) as unknown as typeof records;
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    if (cause instanceof CsvError && cause.code === 'CSV_QUOTE_NOT_CLOSED') {
      const opening = lineOfQuote(text, readLines);
      throw invalidCsv(shownName, `the quotation mark of line ${opening} is never closed`, cause);
    }
    throw invalidCsv(shownName, cause instanceof Error ? cause.message : String(cause), cause);
  }
  const [first, ...rest] = records;
  if (first === undefined) throw invalidCsv(shownName, 'it is empty');
  return {
    header: first.record.map((name) => name.trim()),
    rows: rest.map(({ record, info }) => ({ cells: record, line: info.lines })),
  };
}

/** The first line after those that were read that has a quotation mark. */
function lineOfQuote(text: string, readLines: number): number {
  const after = text
    .split(/\r\n|\n|\r/)
    .findIndex((line, i) => i >= readLines && line.includes('"'));
  return (after === -1 ? readLines : after) + 1;
}

/** By the first line that is not blank, which is the header. */
function guessDelimiter(text: string): string {
  const firstLine = /^.*\S.*$/m.exec(text)?.[0] ?? '';
  const count = (mark: string): number => firstLine.split(mark).length;
  return [',', ';', '\t'].reduce((best, mark) => (count(mark) > count(best) ? mark : best));
}

/** `3.0`, as pandas writes a column with gaps, is class `3`. */
function normaliseLabel(cell: string): string {
  return readClassName(cell.trim()).replace(/^(-?\d+)\.0+$/, '$1');
}

function readSplit(
  cells: readonly string[],
  { split: column }: LabelColumns,
  { split: ofFile, isSplitGuessed = false }: LabelCsvRequest,
  place: string,
): Split | undefined {
  if (column === undefined || (ofFile !== undefined && !isSplitGuessed)) return ofFile;
  const cell = (cells[column] ?? '').trim();
  const split = cell === '' ? ofFile : parseSplitName(cell);
  if (split !== undefined) return split;
  throw new DataError({
    code: 'data/unknown-split',
    message: `${place}: split "${cell}" is not train, validation or test`,
    hint: 'every row needs one of them where a column gives the splits; splitColumn: "" leaves it aside',
  });
}

/** The path below the source, or a refusal. */
function refuseOutside(named: string, imageFolder: string, place: string): string {
  const slashed = named.replaceAll('\\', '/');
  const below = posix.normalize(posix.join(imageFolder, slashed));
  const isOutside = isAbsolute(named) || /^[A-Za-z]:/.test(slashed) || slashed.startsWith('/');
  if (!isOutside && below !== '..' && !below.startsWith('../')) return below;
  throw new DataError({
    code: 'data/path-outside',
    message: `${place}: "${named}" leaves the source folder`,
    hint: 'label files and images must lie below the source folder, which alone is the input',
  });
}

/** Finds images as rows name them: below the folder, and below the source where that was a guess. */
async function createImageLocator({
  root,
  imageFolder,
  isFolderGuessed = false,
}: LabelCsvRequest): Promise<(named: string, place: string) => Promise<string | undefined>> {
  const listed = (folder: string): Promise<string[]> =>
    listImageFiles(join(root, folder), 'every-path');
  const inFolder = createLocator(imageFolder, await listed(imageFolder));
  let inSource: ReturnType<typeof createLocator> | undefined;
  return async (named, place) => {
    const found = inFolder(refuseOutside(named, imageFolder, place), place);
    if (found !== undefined || !isFolderGuessed || imageFolder === '') return found;
    // Bare names stay in the folder: one of another split may have the same.
    const below = posix.normalize(named.replaceAll('\\', '/'));
    if (!below.includes('/')) return undefined;
    inSource ??= createLocator('', await listed(''));
    return inSource(below, place);
  };
}

/**
 * Finds an image by path or by bare name, extension optional; undefined when there is none. Names
 * compare in one Unicode form: archives made on macOS hold letters and accents as two characters.
 */
function createLocator(
  imageFolder: string,
  files: readonly string[],
): (below: string, place: string) => string | undefined {
  const byName = new Map<string, string[]>();
  const lookUp = (name: string): readonly string[] | undefined => byName.get(name.normalize('NFC'));
  const add = (name: string, path: string): void => {
    const key = name.normalize('NFC');
    const known = byName.get(key);
    if (known === undefined) byName.set(key, [path]);
    else if (!known.includes(path)) known.push(path);
  };
  for (const file of files) {
    const path = posix.join(imageFolder, file);
    const stem = path.slice(0, path.length - extname(path).length);
    for (const key of [path, stem]) add(key, path);
    for (const key of [basename(path), basename(stem)]) add(`name:${key}`, path);
  }
  return (below, place) => {
    const folderRelative = relative(imageFolder, below);
    const isBareName = !folderRelative.includes('/');
    const found = lookUp(below) ?? (isBareName ? lookUp(`name:${folderRelative}`) : []);
    if (found === undefined || found.length <= 1) return found?.[0];
    throw new DataError({
      code: 'data/ambiguous-image',
      message: `${place}: "${folderRelative}" may be any of ${found.slice(0, SHOWN).join(', ')}`,
      hint: 'give the path below the source in the CSV, or set imageFolder of this CSV',
    });
  };
}

async function missingImages(
  { root, file, imageFolder, isFolderGuessed = false }: LabelCsvRequest,
  missing: readonly string[],
  rowCount: number,
): Promise<DataError> {
  const places = isFolderGuessed ? [imageFolder, ''] : [imageFolder];
  const where = [...new Set(places)].map((folder) => folder || 'the source folder').join(' or ');
  const explained = await explainMissing(root, imageFolder, missing.slice(0, SHOWN));
  const shown = explained.map(({ named, reason }) =>
    reason === null ? named : `${named} (${reason})`,
  );
  const remedies = explained.map(({ remedy }) => remedy ?? ADD_FILES);
  return new DataError({
    code: 'data/missing-images',
    message: `${missing.length} of ${rowCount} images named in ${file} are not in ${where}: ${shortenList([...shown, ...missing.slice(SHOWN)], SHOWN)}`,
    hint: [...new Set(remedies)].join('; '),
  });
}

function missingLabels(places: readonly string[]): DataError {
  return new DataError({
    code: 'data/missing-label',
    message: `${places.length} row(s) have no label: ${shortenList(places, SHOWN)}`,
    hint: 'fill in the label or remove the row',
  });
}

function invalidCsv(file: string, reason: string, cause?: unknown): DataError {
  return new DataError({
    code: 'data/invalid-csv',
    message: `${file} cannot be read as CSV: ${reason}`,
    hint: 'expected a header line and one line an image, separated by comma, semicolon or tab',
    ...(cause === undefined ? {} : { cause }),
  });
}
