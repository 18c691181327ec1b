import {
  GROUP_COLUMNS,
  normaliseColumn,
  SPLIT_COLUMNS,
  type LabelColumns,
} from './label-columns.ts';
import { parseSplitName } from './source-image.ts';

/** Names that arms of a study or age groups have as well: few values for all rows are rather those. */
const VAGUE_GROUP_COLUMNS = new Set(['groupid', 'group']);
const LARGEST_VAGUE_FRACTION = 0.1;

export interface DetectRequest {
  /** How messages call the label file. */
  readonly file: string;
  readonly header: readonly string[];
  /** The cells of its rows. */
  readonly rows: readonly (readonly string[])[];
  /** The columns that are known; none of them is taken for another. */
  readonly columns: LabelColumns;
  /** What nobody has named or ruled out. */
  readonly wanted: readonly ('split' | 'group')[];
}

/**
 * The columns with those of split and group that are recognised by their name and cells, and what to
 * say of them: published test images must not be trained on because nobody named the column.
 */
export function detectColumns(request: DetectRequest): {
  readonly columns: LabelColumns;
  readonly notes: readonly string[];
} {
  const { file, header, columns, wanted } = request;
  const named = (at: number): string => `column "${header[at] ?? ''}" of ${file}`;
  const notes: string[] = [];
  let found = columns;
  if (wanted.includes('split')) {
    const { at, doubt } = detectSplit(request);
    if (at >= 0 && doubt === null) {
      notes.push(`${named(at)} gives the splits; set splitColumn: "" to ignore it`);
      found = { ...found, split: at };
    } else if (doubt !== null) {
      notes.push(
        `${named(at)} is not read for the splits: "${doubt}" is not train, validation or test; correct it, or set splitColumn: "" if it is not meant`,
      );
    }
  }
  if (wanted.includes('group')) {
    const { at, doubt } = detectGroup({ ...request, columns: found });
    if (at >= 0 && doubt === null) {
      notes.push(
        `${named(at)} gives the groups, which no split divides; set groupColumn: "" to ignore it`,
      );
      found = { ...found, group: at };
    } else if (doubt !== null) {
      notes.push(
        `${named(at)} is not read for the groups, since "${doubt}" stands for many of its rows; name it as groupColumn where no split may divide them, or set groupColumn: ""`,
      );
    }
  }
  return { columns: found, notes };
}

/** A column, -1 for none, and the cell that makes it doubtful; null where none does. */
interface Detected {
  readonly at: number;
  readonly doubt: string | null;
}

const NONE: Detected = { at: -1, doubt: null };

/** The first whose cells are all names of splits, else the first of which some are. */
function detectSplit(request: DetectRequest): Detected {
  let doubtful = NONE;
  for (const at of candidates(request, SPLIT_COLUMNS)) {
    const cells = new Set(filledCells(request, at));
    const others = [...cells].filter((cell) => parseSplitName(cell) === undefined);
    if (others.length === cells.size) continue; // of something else, or empty
    const [first] = others;
    if (first === undefined) return { at, doubt: null };
    if (doubtful === NONE) doubtful = { at, doubt: first };
  }
  return doubtful;
}

/** The first that has a value twice: one of which all differ holds nothing together. */
function detectGroup(request: DetectRequest): Detected {
  let doubtful = NONE;
  for (const at of candidates(request, GROUP_COLUMNS)) {
    const cells = filledCells(request, at);
    const counts = new Map<string, number>();
    for (const cell of cells) counts.set(cell, (counts.get(cell) ?? 0) + 1);
    if (counts.size === cells.length || counts.size < 2) continue;
    const large = [...counts].find(([, count]) => count > cells.length * LARGEST_VAGUE_FRACTION);
    const isVague = VAGUE_GROUP_COLUMNS.has(normaliseColumn(request.header[at] ?? ''));
    if (!isVague || large === undefined) return { at, doubt: null };
    if (doubtful === NONE) doubtful = { at, doubt: large[0] };
  }
  return doubtful;
}

/** Positions of the columns that are called so and are not known as others. */
function candidates({ header, columns }: DetectRequest, names: readonly string[]): number[] {
  const taken: readonly (number | undefined)[] = [
    columns.label,
    columns.image,
    columns.split,
    columns.group,
  ].flat();
  const written = header.map(normaliseColumn);
  return names.map((name) => written.indexOf(name)).filter((at) => at >= 0 && !taken.includes(at));
}

function filledCells({ rows }: DetectRequest, at: number): string[] {
  return rows.map((cells) => (cells[at] ?? '').trim()).filter((cell) => cell !== '');
}
