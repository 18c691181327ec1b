import { DataError } from '../diagnostics/errors.ts';

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
];

export interface ColumnRequest {
  readonly imageColumn?: string;
  readonly labelColumn?: string;
  readonly splitColumn?: string;
  readonly groupColumn?: string;
}

/** Positions of the columns in a row. */
export interface LabelColumns {
  readonly image: number;
  readonly label: number;
  readonly split?: number;
  readonly group?: number;
}

/** Whether a header has an image and a label column that are recognised without being named. */
export function isLabelHeader(header: readonly string[]): boolean {
  return detect(header, IMAGE_COLUMNS) >= 0 && detect(header, LABEL_COLUMNS) >= 0;
}

/**
 * Finds the columns by the names asked for, or by the names usual in the field.
 * @throws DataError `data/unknown-column`, listing the columns there are
 */
export function findLabelColumns(
  file: string,
  header: readonly string[],
  request: ColumnRequest,
): LabelColumns {
  const named = (parameter: keyof ColumnRequest): number | undefined => {
    const name = request[parameter];
    if (name === undefined) return undefined;
    const at = header.findIndex((column) => normalise(column) === normalise(name));
    if (at < 0) throw unknownColumn(file, header, `no column "${name}" (${parameter})`);
    return at;
  };
  const required = (parameter: keyof ColumnRequest, usual: readonly string[]): number => {
    const at = named(parameter) ?? detect(header, usual);
    if (at < 0) throw unknownColumn(file, header, `no column recognised as ${parameter}`, usual);
    return at;
  };
  const split = named('splitColumn');
  const group = named('groupColumn');
  return {
    image: required('imageColumn', IMAGE_COLUMNS),
    label: required('labelColumn', LABEL_COLUMNS),
    ...(split === undefined ? {} : { split }),
    ...(group === undefined ? {} : { group }),
  };
}

function detect(header: readonly string[], usual: readonly string[]): number {
  const names = header.map(normalise);
  for (const name of usual) {
    const at = names.indexOf(name);
    if (at >= 0) return at;
  }
  return -1;
}

function normalise(name: string): string {
  return name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '');
}

function unknownColumn(
  file: string,
  header: readonly string[],
  reason: string,
  usual: readonly string[] = [],
): DataError {
  const columns = header.filter((name) => name !== '').map((name) => `"${name}"`);
  return new DataError({
    code: 'data/unknown-column',
    message: `${file} has ${reason}; its columns are ${columns.join(', ') || '(none)'}`,
    hint: `name the columns with the parameters imageColumn and labelColumn${usual.length === 0 ? '' : `; recognised without are ${usual.join(', ')}`}`,
  });
}
