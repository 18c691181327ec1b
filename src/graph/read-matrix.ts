import { nameHint } from '../diagnostics/nearest-name.ts';
import { interpolate } from '../pipeline/interpolate.ts';
import { childMap, hasUnknown, toPlain, type Located, type Origin } from '../pipeline/located.ts';
import { pathText } from '../diagnostics/issue-wording.ts';
import type { Problems } from '../pipeline/problems.ts';
import { matrixSchema } from '../pipeline/schema.ts';
import { checkShape } from '../pipeline/shape-diagnostics.ts';
import type { MatrixScalar } from '../pipeline/spec.ts';
import type { StageSpec } from '../pipeline/stage-spec.ts';
import { cellId, expandMatrix, matrixSize, type Cell, type Matrix } from './expand-matrix.ts';

/** Far above any sweep that could ever be run; a mistyped matrix is refused before it fills the memory. */
export const MAX_CELLS = 10_000;

/** The cells of a stage's own matrix; one empty cell without a matrix. */
export interface OwnCells {
  readonly axes: ReadonlySet<string>;
  readonly cells: readonly Cell[];
  /** False when the matrix is wrong and reported: then nothing is said of what uses its axes. */
  readonly certain: boolean;
  readonly origin: Origin;
}

/** Reads and expands the matrix of a stage and reports what is wrong with it. */
export function readMatrix(
  stage: StageSpec,
  vars: ReadonlyMap<string, Located>,
  problems: Problems,
): OwnCells {
  const body = childMap(stage.body, 'matrix');
  const key = stage.body.entries.get('matrix')?.key ?? stage.key;
  const uncertain: OwnCells = { axes: new Set(), cells: [{}], certain: false, origin: key };
  if (body === undefined) {
    return { ...uncertain, certain: !stage.body.entries.has('matrix') };
  }
  const located = interpolate(body, { vars, matrix: 'not-here' }, problems);
  const matrix = parseMatrix(stage, located, key, problems);
  if (matrix === undefined) return uncertain;
  const refuse = (code: string, message: string, hint?: string): OwnCells => {
    problems.add({ code, message: `stage "${stage.name}": ${message}`, origin: key, hint });
    return uncertain;
  };
  const size = matrixSize(matrix);
  if (size > MAX_CELLS) {
    return refuse(
      'pipeline/matrix-too-large',
      `the matrix spans ${size} cells; at most ${MAX_CELLS}`,
    );
  }
  const cells = expandMatrix(matrix);
  if (cells.length === 0) {
    return refuse(
      'pipeline/empty-matrix',
      'the matrix has no cells',
      matrix.exclude.length > 0 ? '"exclude" leaves nothing' : 'give an axis at least one value',
    );
  }
  const ids = cells.map((cell) => cellId(stage.name, cell));
  const twice = ids.find((id, index) => ids.indexOf(id) !== index);
  if (twice !== undefined) {
    return refuse('pipeline/duplicate-cell', `the matrix has the cell ${twice} twice`);
  }
  const axes = new Set(cells.flatMap((cell) => Object.keys(cell)));
  return { axes, cells, certain: true, origin: key };
}

function parseMatrix(
  stage: StageSpec,
  located: Located,
  key: Origin,
  problems: Problems,
): Matrix | undefined {
  const parsed = checkShape({
    value: located,
    schema: matrixSchema,
    problems,
    owner: key,
    keyWord: 'key',
    subject: (path) => `stage "${stage.name}": "${pathText(['matrix', ...path])}"`,
  });
  if (located.type !== 'map' || parsed === undefined || hasUnknown(located)) return undefined;
  // The shape check has passed: axes are lists of scalars, include and exclude lists of cells.
  const { include, exclude, ...lists } = toPlain(located) as {
    readonly include?: readonly Cell[];
    readonly exclude?: readonly Cell[];
    readonly [axis: string]: readonly (MatrixScalar | Cell)[] | undefined;
  };
  const axes = new Map<string, readonly MatrixScalar[]>();
  for (const [axis, values] of Object.entries(lists)) {
    if (!Array.isArray(values)) {
      // Text that only looked like a reference, an escaped one.
      const value = located.entries.get(axis)?.value;
      problems.add({
        code: 'pipeline/invalid-value',
        message: `stage "${stage.name}": "matrix.${axis}" must be a list of values`,
        origin: value?.origin ?? key,
      });
      return undefined;
    }
    axes.set(axis, values as MatrixScalar[]);
  }
  return checkExcludes(
    stage,
    located,
    { axes, include: include ?? [], exclude: exclude ?? [] },
    problems,
  );
}

function checkExcludes(
  stage: StageSpec,
  located: Located & { type: 'map' },
  matrix: Matrix,
  problems: Problems,
): Matrix | undefined {
  const list = located.entries.get('exclude')?.value;
  let valid = true;
  for (const entry of list?.type === 'list' ? list.items : []) {
    for (const [axis, { key }] of entry.type === 'map' ? entry.entries : []) {
      if (matrix.axes.has(axis)) continue;
      valid = false;
      problems.add({
        code: 'pipeline/unknown-axis',
        message: `stage "${stage.name}": "exclude" names "${axis}", which is no axis of the matrix`,
        origin: key,
        hint: nameHint(axis, matrix.axes.keys()),
      });
    }
  }
  return valid ? matrix : undefined;
}
