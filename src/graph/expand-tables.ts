import { nameHint } from '../diagnostics/nearest-name.ts';
import { interpolate } from '../pipeline/interpolate.ts';
import {
  childEntries,
  childItems,
  toPlain,
  type Located,
  type LocatedMap,
} from '../pipeline/located.ts';
import type { Problems } from '../pipeline/problems.ts';
import type { MetricSource, TableRow, TableSpec } from '../pipeline/spec.ts';
import type { PipelineSpec } from '../pipeline/stage-spec.ts';
import type { Expansion } from './expand-graph.ts';
import { cellId } from './expand-matrix.ts';
import { joinCells, orderCell } from './join-cells.ts';
import { declaredInputs, findOutput } from './resolve-inputs.ts';

/** The tables with rows of matrix stages multiplied; sources that are no metrics are reported. */
export function expandTables(
  spec: PipelineSpec,
  expansion: Expansion,
  problems: Problems,
): readonly TableSpec[] {
  const tables: TableSpec[] = [];
  for (const [name, { value }] of spec.tables?.entries ?? []) {
    const rows = childItems(value, 'rows').flatMap((row) =>
      row.type === 'map' ? expandRow(row, spec, expansion, problems) : [],
    );
    const notes = childItems(value, 'notes')
      .map((note) => toPlain(interpolate(note, { vars: spec.vars, matrix: 'not-here' }, problems)))
      .filter((note) => note !== undefined && note !== null)
      .map(textOf);
    tables.push({ name, rows, notes });
  }
  return tables;
}

function expandRow(
  row: LocatedMap,
  spec: PipelineSpec,
  expansion: Expansion,
  problems: Problems,
): TableRow[] {
  const sources = childItems(row, 'from').map((from) => findSource(from, spec, problems));
  const found = sources.filter((source) => source !== undefined);
  const names = [...new Set(found.map(({ stageName }) => stageName))];
  const sets = names.flatMap((name) => expansion.cellsOf.get(name) ?? []);
  const certain = found.length === sources.length && sets.every((set) => set.certain);
  const joined = joinCells(sets);
  const axes = new Set(sets.flatMap((set) => [...set.axes]));
  if (joined.length === 0 && certain) {
    problems.add({
      code: 'pipeline/no-matching-cell',
      message: `table row: no cells of ${names.join(' and ')} agree on the axes they share`,
      origin: row.entries.get('from')?.key ?? row.origin,
    });
  }
  return joined.map(({ cell, from }) => {
    const coordinates = orderCell(cell, expansion.axisOrder);
    const otherAxes = certain ? 'none' : 'unknown';
    const matrix = { cell: coordinates, axes, otherAxes } as const;
    const labels: [string, string][] = [];
    for (const [name, { value }] of childEntries(row, 'labels')) {
      const plain = toPlain(interpolate(value, { vars: spec.vars, matrix }, problems));
      if (plain !== undefined && plain !== null) labels.push([name, textOf(plain)]);
    }
    const added = Object.entries(coordinates).map(
      ([axis, value]) => [axis, String(value)] as const,
    );
    return {
      labels: { ...Object.fromEntries(added), ...Object.fromEntries(labels) },
      sources: found.map(({ stageName, output, subject }): MetricSource => ({
        stageId: cellId(stageName, from.get(stageName) ?? {}),
        output,
        subject,
      })),
    };
  });
}

function findSource(
  from: Located,
  spec: PipelineSpec,
  problems: Problems,
): { stageName: string; output: string; subject: string | null } | undefined {
  const value = interpolate(from, { vars: spec.vars, matrix: 'not-here' }, problems);
  if (value.type !== 'scalar' || typeof value.value !== 'string') return undefined;
  const { origin } = value;
  const hash = value.value.indexOf('#');
  const reference = hash === -1 ? value.value : value.value.slice(0, hash);
  const subject = hash === -1 ? null : value.value.slice(hash + 1);
  const found = findOutput(reference, ['metrics'], spec.stages);
  if (!('kind' in found)) {
    if (found.reason !== undefined) {
      problems.add({ ...found.reason, message: `table row: ${found.reason.message}`, origin });
    }
    return undefined;
  }
  const { stageName, output, kind } = found;
  if (kind !== 'metrics') {
    problems.add({
      code: 'pipeline/wrong-kind',
      message: `table row: ${stageName}.${output} is ${kind}; a table takes metrics`,
      origin,
      hint: metricsHint(stageName, spec),
    });
    return undefined;
  }
  if (subject !== null && !checkSubject(stageName, subject, spec)) {
    const names = subjectsOf(stageName, spec) ?? [];
    problems.add({
      code: 'pipeline/unknown-subject',
      message: `table row: ${stageName}.${output} has no subject "${subject}"; subjects are the stage's inputs`,
      origin: problems.narrow(origin, `#${subject}`),
      hint: nameHint(subject, names),
    });
    return undefined;
  }
  return { stageName, output, subject };
}

function metricsHint(stageName: string, spec: PipelineSpec): string | undefined {
  const found = findOutput(stageName, ['metrics'], spec.stages);
  return 'kind' in found ? `did you mean "${stageName}.${found.output}"?` : undefined;
}

function checkSubject(stageName: string, subject: string, spec: PipelineSpec): boolean {
  return subjectsOf(stageName, spec)?.includes(subject) ?? true;
}

/**
 * Subjects that a stage's metrics can have: the inputs it was given. Undefined, any, for a program and
 * for stage kinds of the user's own, which name subjects as they like.
 */
function subjectsOf(stageName: string, spec: PipelineSpec): readonly string[] | undefined {
  const stage = spec.stages.get(stageName);
  if (stage === undefined || stage.ownKind !== undefined) return undefined;
  const declared = declaredInputs(stage);
  if (declared === 'any') return undefined;
  const given = childEntries(stage.body, 'inputs');
  return [...declared.keys()].filter((name) => given.has(name));
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
