import type { Scope } from '../pipeline/interpolate.ts';
import type { Origin } from '../pipeline/located.ts';
import type { Problems } from '../pipeline/problems.ts';
import type { StageGraph, StageId, StageNode } from '../pipeline/spec.ts';
import type { PipelineSpec, StageSpec } from '../pipeline/stage-spec.ts';
import { buildNode, type PathUse } from './build-node.ts';
import type { Cell } from './expand-matrix.ts';
import { joinCells, orderCell, type CellSet, type JoinedCell } from './join-cells.ts';
import { MAX_CELLS, readMatrix, type OwnCells } from './read-matrix.ts';
import { resolveInputs, type InputUse } from './resolve-inputs.ts';
import { findCycles, topologicalOrder } from './stage-order.ts';

export interface ExpandOptions {
  readonly projectRoot: string;
  readonly cwd: string;
  readonly problems: Problems;
}

/** The cells of a stage after its own matrix and what it inherits. */
export interface StageCells extends CellSet {
  /** False when something above is wrong and reported: its axes are then not known. */
  readonly certain: boolean;
}

export interface Expansion {
  readonly graph: StageGraph;
  readonly cellsOf: ReadonlyMap<string, StageCells>;
  /** Axes in the order the file first names them. */
  readonly axisOrder: readonly string[];
  readonly pathUses: readonly PathUse[];
}

/** A stage with its own cells; inputs that name stages may differ from cell to cell. */
interface Draft {
  readonly stage: StageSpec;
  readonly own: OwnCells;
  readonly cells: readonly { readonly cell: Cell; readonly uses: ReadonlyMap<string, InputUse> }[];
}

/** The graph of all cells in topological order; whatever is wrong is reported and left out. */
export function expandGraph(spec: PipelineSpec, options: ExpandOptions): Expansion {
  const { problems } = options;
  const drafts = new Map<string, Draft>();
  for (const [name, stage] of spec.stages) {
    drafts.set(name, draftStage(stage, spec, problems));
  }
  const broken = breakCycles(drafts, problems);
  const axisOrder = [...new Set([...drafts.values()].flatMap(({ own }) => [...own.axes]))];
  const nodes = new Map<StageId, StageNode>();
  const cellsOf = new Map<string, StageCells>();
  const pathUses: PathUse[] = [];
  for (const name of topologicalOrder(dependenciesOf(drafts, broken))) {
    const draft = drafts.get(name);
    if (draft === undefined) continue;
    const { joined, cells } = inheritCells(draft, cellsOf, axisOrder, problems);
    cellsOf.set(name, cells);
    for (const { cell, from, uses } of joined) {
      const otherAxes = cells.certain ? 'none' : 'unknown';
      const scope: Scope = { vars: spec.vars, matrix: { cell, axes: cells.axes, otherAxes } };
      const node = buildNode({ ...options, stage: draft.stage, cell, uses, from, scope, pathUses });
      if (node !== undefined) nodes.set(node.id, node);
    }
  }
  return { graph: { nodes }, cellsOf, axisOrder, pathUses };
}

function draftStage(stage: StageSpec, spec: PipelineSpec, problems: Problems): Draft {
  const own = readMatrix(stage, spec.vars, problems);
  const advice = "an input that names a stage can use only axes of the stage's own matrix";
  const cells = own.cells.map((cell) => {
    const otherAxes = own.certain ? 'none' : 'unknown';
    const scope: Scope = { vars: spec.vars, matrix: { cell, axes: own.axes, otherAxes, advice } };
    return { cell, uses: resolveInputs({ stage, stages: spec.stages, scope, problems }) };
  });
  return { stage, own, cells };
}

/** What names another stage, rightly or not. */
function stageUses({ cells }: Draft): { readonly stageName: string; readonly origin: Origin }[] {
  return cells.flatMap(({ uses }) =>
    [...uses.values()].flatMap((use) =>
      'stageName' in use && use.origin !== undefined
        ? [{ stageName: use.stageName, origin: use.origin }]
        : [],
    ),
  );
}

function dependenciesOf(
  drafts: ReadonlyMap<string, Draft>,
  broken: ReadonlySet<string>,
): ReadonlyMap<string, ReadonlySet<string>> {
  return new Map(
    [...drafts].map(([name, draft]) => {
      const names = stageUses(draft).map(({ stageName }) => stageName);
      return [name, new Set(names.filter((other) => !broken.has(edge(name, other))))];
    }),
  );
}

/** Reports every circle and returns the edges that, taken away, leave none. */
function breakCycles(drafts: ReadonlyMap<string, Draft>, problems: Problems): ReadonlySet<string> {
  const broken = new Set<string>();
  for (const cycle of findCycles(dependenciesOf(drafts, broken))) {
    const [last, first] = cycle.slice(-2);
    if (last === undefined || first === undefined) continue;
    broken.add(edge(last, first));
    const draft = drafts.get(last);
    const use = draft && stageUses(draft).find(({ stageName }) => stageName === first);
    if (use === undefined) continue;
    problems.add({
      code: 'pipeline/cycle',
      message: `stages depend on each other in a circle: ${cycle.join(' → ')}`,
      origin: use.origin,
    });
  }
  return broken;
}

/** Stage names hold no space. */
function edge(from: string, to: string): string {
  return `${from} ${to}`;
}

type CellWithUses = JoinedCell & { readonly uses: ReadonlyMap<string, InputUse> };

/** Joins each own cell with the cells of what it depends on: shared axes stay aligned, others multiply. */
function inheritCells(
  draft: Draft,
  cellsOf: ReadonlyMap<string, StageCells>,
  axisOrder: readonly string[],
  problems: Problems,
): { readonly joined: readonly CellWithUses[]; readonly cells: StageCells } {
  const { stage, own } = draft;
  const stageName = stage.name;
  let { certain } = own;
  const axes = new Set(own.axes);
  const joined: CellWithUses[] = [];
  for (const { cell, uses } of draft.cells) {
    const sets = setsOf(uses, cellsOf);
    if (
      sets.some((set) => !set.certain) ||
      [...uses.values()].some(({ type }) => type === 'broken')
    ) {
      certain = false;
    }
    for (const axis of sets.flatMap((set) => [...set.axes])) axes.add(axis);
    const combined = joinCells([{ stageName: '', axes: own.axes, cells: [cell] }, ...sets]);
    if (combined.length === 0 && certain) reportNoPartner(draft, cell, sets, problems);
    for (const each of combined) {
      joined.push({ cell: orderCell(each.cell, axisOrder), from: each.from, uses });
    }
    if (joined.length > MAX_CELLS) {
      problems.add({
        code: 'pipeline/matrix-too-large',
        message: `stage "${stageName}" is expanded to more than ${MAX_CELLS} cells`,
        origin: stage.key,
      });
      return { joined: [], cells: { stageName, axes, cells: [{}], certain: false } };
    }
  }
  sortByDependencies(joined, cellsOf);
  const cells: StageCells = certain
    ? { stageName, axes, cells: joined.map(({ cell }) => cell), certain }
    : { stageName, axes: new Set(), cells: [{}], certain };
  return { joined, cells };
}

/** Cells follow the order of the cells they depend on, then that of their own matrix. */
function sortByDependencies(
  joined: CellWithUses[],
  cellsOf: ReadonlyMap<string, StageCells>,
): void {
  const positions = new Map<Cell, number>();
  for (const { cells } of cellsOf.values()) {
    cells.forEach((cell, index) => positions.set(cell, index));
  }
  const names = [...cellsOf.keys()];
  const rank = ({ from }: CellWithUses): number[] =>
    names.map((name) => positions.get(from.get(name) ?? {}) ?? 0);
  const ranked = joined.map((each) => ({ each, rank: rank(each) }));
  ranked.sort((a, b) => {
    const index = a.rank.findIndex((position, at) => position !== b.rank[at]);
    return (a.rank[index] ?? 0) - (b.rank[index] ?? 0);
  });
  joined.splice(0, joined.length, ...ranked.map(({ each }) => each));
}

function setsOf(
  uses: ReadonlyMap<string, InputUse>,
  cellsOf: ReadonlyMap<string, StageCells>,
): readonly StageCells[] {
  const sets = new Map<string, StageCells>();
  for (const use of uses.values()) {
    const cells = use.type === 'stage' ? cellsOf.get(use.stageName) : undefined;
    // An edge taken out of a circle: what it would have brought is not known.
    const unknown = { axes: new Set<string>(), cells: [{}], certain: false };
    if (use.type === 'stage')
      sets.set(use.stageName, cells ?? { stageName: use.stageName, ...unknown });
  }
  return [...sets.values()];
}

function reportNoPartner(
  { stage, own }: Draft,
  cell: Cell,
  sets: readonly StageCells[],
  problems: Problems,
): void {
  const coordinates = Object.entries(cell).map(([axis, value]) => `${axis}=${value}`);
  const which = coordinates.length === 0 ? '' : ` (cell ${coordinates.join(',')})`;
  problems.add({
    code: 'pipeline/no-matching-cell',
    message: `stage "${stage.name}"${which}: no cells of ${sets.map(({ stageName }) => stageName).join(' and ')} agree on the axes they share`,
    origin: own.axes.size > 0 ? own.origin : stage.key,
    hint: 'stages that share an axis are matched by its value; check "exclude" and the values',
  });
}
