import type { Cell } from './expand-matrix.ts';

/** The cells of one stage. `axes` are all axes any of them has: a cell may lack some (`include`). */
export interface CellSet {
  readonly stageName: string;
  readonly axes: ReadonlySet<string>;
  readonly cells: readonly Cell[];
}

export interface JoinedCell {
  readonly cell: Cell;
  /** Stage name → the cell of it that belongs to this one. */
  readonly from: ReadonlyMap<string, Cell>;
}

/**
 * Every combination of cells, one of each set, that agree on the axes they share; other axes multiply.
 * Agreement on an axis means the same value, or that both lack it.
 */
export function joinCells(sets: readonly CellSet[]): JoinedCell[] {
  let joined: JoinedCell[] = [{ cell: {}, from: new Map() }];
  let axes = new Set<string>();
  for (const set of sets) {
    const shared = [...set.axes].filter((axis) => axes.has(axis));
    joined = joined.flatMap(({ cell, from }) =>
      set.cells
        .filter((other) => shared.every((axis) => valueOf(cell, axis) === valueOf(other, axis)))
        .map((other) => ({
          cell: { ...cell, ...other },
          from: new Map(from).set(set.stageName, other),
        })),
    );
    axes = new Set([...axes, ...set.axes]);
  }
  return joined;
}

/** The cell with its coordinates in the order of `axisOrder`. */
export function orderCell(cell: Cell, axisOrder: readonly string[]): Cell {
  const ordered: Record<string, Cell[string]> = {};
  for (const axis of axisOrder) {
    const value = valueOf(cell, axis);
    if (value !== undefined) ordered[axis] = value;
  }
  return ordered;
}

function valueOf(cell: Cell, axis: string): Cell[string] | undefined {
  return Object.hasOwn(cell, axis) ? cell[axis] : undefined;
}
