import type { MatrixScalar, StageId } from '../pipeline/spec.ts';

export type Cell = Readonly<Record<string, MatrixScalar>>;

export interface Matrix {
  readonly axes: ReadonlyMap<string, readonly MatrixScalar[]>;
  readonly include: readonly Cell[];
  readonly exclude: readonly Cell[];
}

/**
 * The cells of a matrix, the last axis varying fastest, with the rules of GitHub Actions
 * (docs.github.com, "Running variations of jobs in a workflow"): what an `exclude` entry matches in
 * every key it has is left out; then each `include` entry is added to every cell whose axis values it
 * would not overwrite, and becomes a cell of its own when there is none.
 */
export function expandMatrix({ axes, include, exclude }: Matrix): Cell[] {
  let product: Cell[] = axes.size === 0 ? [] : [{}];
  for (const [axis, values] of axes) {
    product = product.flatMap((cell) => values.map((value) => ({ ...cell, [axis]: value })));
  }
  const original = product.filter((cell) => !exclude.some((entry) => agrees(cell, entry)));
  const extended = [...original];
  const added: Cell[] = [];
  for (const entry of include) {
    const fitting = [...original.entries()].filter(([, cell]) => keepsAxes(cell, entry));
    for (const [index, cell] of fitting) {
      // Values that an earlier include added may be overwritten; those of axes may not.
      extended[index] = { ...(extended[index] ?? cell), ...entry };
    }
    if (fitting.length === 0) added.push(entry);
  }
  return [...extended, ...added];
}

/** How many cells the axes span, so that a mistyped matrix is refused before it fills the memory. */
export function matrixSize({ axes, include }: Matrix): number {
  if (axes.size === 0) return include.length;
  return [...axes.values()].reduce((size, values) => size * values.length, 1) + include.length;
}

/** Id of a stage's cell: `quantize@granularity=per-channel,method=min-max`, or the bare name outside a matrix. */
export function cellId(stageName: string, cell: Cell): StageId {
  const coordinates = Object.entries(cell).map(([axis, value]) => `${axis}=${idText(value)}`);
  // Made here and only here; that is what the brand stands for.
  return (
    coordinates.length === 0 ? stageName : `${stageName}@${coordinates.join(',')}`
  ) as StageId;
}

/** Ids are folder names and shell words too: anything unusual is percent-encoded. */
function idText(value: MatrixScalar): string {
  return String(value).replace(/[^\p{L}\p{N}._+-]/gu, (character) =>
    [...new TextEncoder().encode(character)]
      .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)
      .join(''),
  );
}

function agrees(cell: Cell, entry: Cell): boolean {
  return Object.entries(entry).every(
    ([axis, value]) => Object.hasOwn(cell, axis) && cell[axis] === value,
  );
}

function keepsAxes(cell: Cell, entry: Cell): boolean {
  return Object.entries(entry).every(
    ([axis, value]) => !Object.hasOwn(cell, axis) || cell[axis] === value,
  );
}
