import { DataError } from '../diagnostics/errors.ts';
import { shortenList } from '../diagnostics/shorten-list.ts';
import { readClassName } from './source-image.ts';

/** Column names of label files in use, without case, spaces and punctuation, likeliest first. */
const IMAGE_COLUMNS = [
  'imagename',
  'imageid',
  'idcode',
  'image',
  'imagepath',
  'filename',
  'filepath',
  'path',
  'file',
  'img',
  'name',
  'id',
];
const LABEL_COLUMNS = [
  'retinopathygrade',
  'adjudicateddrgrade',
  'drgrade',
  'drlevel',
  'diagnosis',
  'label',
  'level',
  'grade',
  'class',
  'category',
  'target',
  'dx',
];

/** Columns of splits and of groups in use, as `normaliseColumn` writes them, likeliest first. */
export const SPLIT_COLUMNS = ['split', 'set', 'subset', 'partition', 'usage'];
export const GROUP_COLUMNS = [
  'patientid',
  'patient',
  'subjectid',
  'subject',
  'lesionid',
  'lesion',
  'groupid',
  'group',
];

/** Columns of classes shown by name. */
const SHOWN_CLASSES = 5;

/** A table as text: header and rows, with the line each row starts on. */
export interface CsvTable {
  readonly header: readonly string[];
  readonly rows: readonly { readonly cells: readonly string[]; readonly line: number }[];
}

export interface ColumnRequest {
  readonly imageColumn?: string;
  readonly labelColumn?: string;
  /** '' for none. */
  readonly splitColumn?: string;
  /** '' for none. */
  readonly groupColumn?: string;
}

/** Positions of the columns in a row. */
export interface LabelColumns {
  readonly image: number;
  /** That of the label, or one a class, of which each row has a 1 in one and 0 in the others. */
  readonly label: number | readonly number[];
  readonly split?: number;
  readonly group?: number;
}

/** Whether a header has an image and a label column that are recognised without being named. */
export function isLabelHeader(header: readonly string[]): boolean {
  return detect(header, IMAGE_COLUMNS) >= 0 && detect(header, LABEL_COLUMNS) >= 0;
}

/** Whether a table has an image column that is recognised without being named, and one column a class. */
export function isOneHotTable(table: CsvTable, request: ColumnRequest): boolean {
  const { header } = table;
  const image = detect(header, IMAGE_COLUMNS);
  if (image < 0 || detect(header, LABEL_COLUMNS) >= 0) return false;
  const named = [request.splitColumn, request.groupColumn].map((name) => positionOf(header, name));
  return findClassColumns(table, [image, ...named])?.oddRow === null;
}

/**
 * Finds the columns by the names asked for, image and label also by the names usual in the field, or one
 * column a class where no column has the label.
 * @throws DataError `data/unknown-column`, listing the columns there are
 */
export function findLabelColumns(
  file: string,
  table: CsvTable,
  request: ColumnRequest,
): LabelColumns {
  const { header } = table;
  const named = (parameter: keyof ColumnRequest): number | undefined => {
    const name = request[parameter];
    if (name === undefined) return undefined;
    const at = positionOf(header, name);
    if (at < 0) throw unknownColumn(file, header, `no column "${name}" (${parameter})`);
    return at;
  };
  const split = request.splitColumn === '' ? undefined : named('splitColumn');
  const group = request.groupColumn === '' ? undefined : named('groupColumn');
  const image = named('imageColumn') ?? detect(header, IMAGE_COLUMNS);
  const label = named('labelColumn') ?? detect(header, LABEL_COLUMNS);
  const known = [image, split ?? -1, group ?? -1];
  const classes = image < 0 || label >= 0 ? null : findClassColumns(table, known);
  if (image < 0 || (label < 0 && classes?.oddRow !== null)) {
    const missing = [
      ...(image < 0 ? [{ parameter: 'imageColumn', usual: IMAGE_COLUMNS }] : []),
      ...(label < 0 ? [{ parameter: 'labelColumn', usual: LABEL_COLUMNS }] : []),
    ];
    const parameters = missing.map(({ parameter }) => parameter).join(' or as ');
    const recognised = missing.map(
      ({ parameter, usual }) => `as ${parameter}: ${usual.join(', ')}`,
    );
    const reason = `no column recognised as ${parameters}`;
    throw unknownColumn(file, header, reason, recognised, classes?.oddRow);
  }
  return {
    image,
    label: classes?.at ?? label,
    ...(split === undefined ? {} : { split }),
    ...(group === undefined ? {} : { group }),
  };
}

interface ClassColumns {
  readonly at: readonly number[];
  /** The first row that is not of exactly one class; null where each is. */
  readonly oddRow: string | null;
}

/**
 * The columns that are named and not known as others, where they are two or more of different names and
 * hold nothing but 0 and 1; else null. Columns called like those of splits and groups count if they do, too.
 */
function findClassColumns(
  { header, rows }: CsvTable,
  [image = -1, ...others]: readonly number[],
): ClassColumns | null {
  const named = rows.filter(({ cells }) => (cells[image] ?? '').trim() !== '');
  const isBinary = (at: number): boolean =>
    named.every(({ cells }) => /^[01](\.0*)?$/.test((cells[at] ?? '').trim()));
  const at = [...header.keys()].filter((i) => {
    const name = normaliseColumn(header[i] ?? '');
    const isUsual = SPLIT_COLUMNS.includes(name) || GROUP_COLUMNS.includes(name);
    return header[i] !== '' && i !== image && !others.includes(i) && (!isUsual || isBinary(i));
  });
  const names = new Set(at.map((i) => readClassName(header[i] ?? '')));
  if (named.length === 0 || at.length < 2 || names.size < at.length) return null;
  if (!at.every(isBinary)) return null;
  const countOf = (cells: readonly string[]): number =>
    at.filter((i) => isOne(cells[i] ?? '')).length;
  const odd = named.find(({ cells }) => countOf(cells) !== 1);
  if (odd === undefined) return { at, oddRow: null };
  const count = countOf(odd.cells);
  return { at, oddRow: `line ${odd.line} has ${count === 0 ? 'no 1' : `a 1 in ${count} of them`}` };
}

/** Whether a cell of a column of a class says that the row is of it. */
export function isOne(cell: string): boolean {
  return cell.trim().startsWith('1');
}

/** What to say of columns that are read as classes; null where one column has the label. */
export function describeClassColumns(
  file: string,
  { header, rows }: CsvTable,
  { label }: LabelColumns,
): string | null {
  if (typeof label === 'number') return null;
  const shown = (columns: readonly number[]): string =>
    shortenList(
      columns.map((at) => `"${header[at] ?? ''}"`),
      SHOWN_CLASSES,
    );
  const empty = label.filter((at) => !rows.some(({ cells }) => isOne(cells[at] ?? '')));
  const unused = empty.length === 0 ? '' : `; no row has a 1 in ${shown(empty)}`;
  return `the columns ${shown(label)} of ${file} are read as a class each, that of the images with a 1 in it${unused}; name labelColumn if another column has the label`;
}

function positionOf(header: readonly string[], name: string | undefined): number {
  if (name === undefined || name === '') return -1;
  return header.findIndex((column) => normaliseColumn(column) === normaliseColumn(name));
}

function detect(header: readonly string[], usual: readonly string[]): number {
  const names = header.map(normaliseColumn);
  for (const name of usual) {
    const at = names.indexOf(name);
    if (at >= 0) return at;
  }
  return -1;
}

/** A column's name without case, spaces and punctuation. */
export function normaliseColumn(name: string): string {
  return name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '');
}

function unknownColumn(
  file: string,
  header: readonly string[],
  reason: string,
  recognised: readonly string[] = [],
  oddRow: string | null = null,
): DataError {
  const columns = header.filter((name) => name !== '').map((name) => `"${name}"`);
  return new DataError({
    code: 'data/unknown-column',
    message: `${file} has ${reason}; its columns are ${columns.join(', ') || '(none)'}${oddRow === null ? '' : `; all but the image's hold 0 and 1 as if each were a class, but ${oddRow}, and an image is to be of exactly one`}`,
    hint: `${oddRow === null ? '' : 'correct or remove such rows, or '}name the columns with the parameters imageColumn and labelColumn${recognised.length === 0 ? '' : `; recognised without are ${recognised.join('; ')}`}`,
  });
}
