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
  'dx',
];

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
  readonly label: number;
  readonly split?: number;
  readonly group?: number;
}

/** Whether a header has an image and a label column that are recognised without being named. */
export function isLabelHeader(header: readonly string[]): boolean {
  return detect(header, IMAGE_COLUMNS) >= 0 && detect(header, LABEL_COLUMNS) >= 0;
}

/**
 * Finds the columns by the names asked for, image and label also by the names usual in the field.
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
    const at = header.findIndex((column) => normaliseColumn(column) === normaliseColumn(name));
    if (at < 0) throw unknownColumn(file, header, `no column "${name}" (${parameter})`);
    return at;
  };
  const split = request.splitColumn === '' ? undefined : named('splitColumn');
  const group = request.groupColumn === '' ? undefined : named('groupColumn');
  const image = named('imageColumn') ?? detect(header, IMAGE_COLUMNS);
  const label = named('labelColumn') ?? detect(header, LABEL_COLUMNS);
  if (image < 0 || label < 0) {
    const missing = [
      ...(image < 0 ? [{ parameter: 'imageColumn', usual: IMAGE_COLUMNS }] : []),
      ...(label < 0 ? [{ parameter: 'labelColumn', usual: LABEL_COLUMNS }] : []),
    ];
    const parameters = missing.map(({ parameter }) => parameter).join(' or as ');
    const recognised = missing.map(
      ({ parameter, usual }) => `as ${parameter}: ${usual.join(', ')}`,
    );
    throw unknownColumn(file, header, `no column recognised as ${parameters}`, recognised);
  }
  return {
    image,
    label,
    ...(split === undefined ? {} : { split }),
    ...(group === undefined ? {} : { group }),
  };
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
): DataError {
  const columns = header.filter((name) => name !== '').map((name) => `"${name}"`);
  return new DataError({
    code: 'data/unknown-column',
    message: `${file} has ${reason}; its columns are ${columns.join(', ') || '(none)'}`,
    hint: `name the columns with the parameters imageColumn and labelColumn${recognised.length === 0 ? '' : `; recognised without are ${recognised.join('; ')}`}`,
  });
}
