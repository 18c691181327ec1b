import { ownValue } from '../diagnostics/own-value.ts';
import type { MetricSource, ReferenceSpec, TableRow, TableSpec } from '../pipeline/spec.ts';
import type { MetricsFile, MetricValue } from '../stage/metrics-file.ts';
import {
  isListedMetric,
  METRIC_COLUMNS,
  NOTE_COLUMN,
  REFERENCE_COLUMNS,
  unlistedMetricColumn,
  type Column,
  type MetricColumn,
} from './columns.ts';

/** A value, or null where nothing was measured: never 0 for "not known". */
export type CellValue = number | string | null;

export interface ComparisonColumn extends Column {
  /** `low` and `high` are the ends of the 95 % interval of the value column before them. */
  readonly part: 'label' | 'value' | 'low' | 'high' | 'note';
  /** `files`: in the CSV and JSON only, so that tables for people stay readable. */
  readonly audience: 'everyone' | 'files';
  /** Whether any row has a value here. */
  readonly isFilled: boolean;
}

export interface ComparisonTable {
  readonly name: string;
  readonly columns: readonly ComparisonColumn[];
  /** Cells in the order of `columns`. */
  readonly rows: readonly (readonly CellValue[])[];
  /** Whether any row has a measured figure; published ones do not count. */
  readonly hasFigures: boolean;
  /** Every remark once, for below the table. */
  readonly notes: readonly string[];
}

/** The content of a metrics output; null when the stage has not run or its output is gone. */
export type MetricsReader = (source: MetricSource) => Pick<MetricsFile, 'values' | 'notes'> | null;

interface FilledRow {
  readonly labels: TableRow['labels'];
  readonly metrics: ReadonlyMap<string, MetricValue>;
  readonly reference: ReferenceSpec['rows'][number] | null;
  readonly notes: readonly string[];
}

/** Fills one table of the pipeline with what was measured and, beside it, what was published. */
export function buildComparison(
  table: TableSpec,
  reference: ReferenceSpec | null,
  readMetrics: MetricsReader,
): ComparisonTable {
  const rows = table.rows.map((row) => fillRow(row, reference, readMetrics));
  const tableNotes = [
    ...table.notes,
    ...(reference !== null && rows.some((row) => row.reference !== null)
      ? [`published figures: ${reference.source}`]
      : []),
  ];
  const others = [...metricMakers(rows), ...referenceMakers(reference), noteMaker(tableNotes)];
  const makers = [
    ...labelMakers(rows, new Set(others.map(({ column }) => column.name))),
    ...others,
  ];
  const cells = rows.map((row) => makers.map((maker) => maker.cell(row)));
  return {
    name: table.name,
    columns: describeColumns(makers, cells),
    rows: cells,
    hasFigures: rows.some(({ metrics }) => metrics.size > 0),
    notes: [...new Set([...tableNotes, ...rows.flatMap((row) => rowNotesWithLabels(row, rows))])],
  };
}

/** Metrics without a column of their own are for people only where there is nothing else to show. */
function describeColumns(
  makers: readonly ColumnMaker[],
  cells: readonly (readonly CellValue[])[],
): ComparisonColumn[] {
  const isFilled = makers.map((_, index) => cells.some((row) => row[index] !== null));
  const hasListed = makers.some(
    ({ metric }, index) => metric !== null && isListedMetric(metric) && isFilled[index],
  );
  return makers.map(({ column, part, metric, audience = 'everyone' }, index) => ({
    ...column,
    part,
    audience: hasListed && metric !== null && !isListedMetric(metric) ? 'files' : audience,
    isFilled: isFilled[index] ?? false,
  }));
}

function fillRow(
  row: TableRow,
  reference: ReferenceSpec | null,
  readMetrics: MetricsReader,
): FilledRow {
  const metrics = new Map<string, MetricValue>();
  const notes: string[] = [];
  for (const source of row.sources) {
    const file = readMetrics(source);
    if (file === null) continue;
    notes.push(...file.notes);
    for (const [name, value] of valuesOfSubject(file.values, source, notes)) {
      // The first source named in the pipeline wins where two report the same metric.
      if (!metrics.has(name)) metrics.set(name, value);
    }
  }
  const published =
    reference?.rows.find(
      ({ model, precision }) =>
        model === row.labels['model'] && precision === row.labels['precision'],
    ) ?? null;
  if (published?.note !== undefined) notes.push(published.note);
  return { labels: row.labels, metrics, reference: published, notes: [...new Set(notes)] };
}

/** A value without a subject belongs to every subject of its file. */
function valuesOfSubject(
  values: readonly MetricValue[],
  source: MetricSource,
  notes: string[],
): ReadonlyMap<string, MetricValue> {
  const found = new Map<string, MetricValue>();
  const ambiguous = new Set<string>();
  for (const value of values) {
    const isWanted =
      source.subject === null || value.subject === undefined || value.subject === source.subject;
    if (!isWanted) continue;
    const before = found.get(value.name);
    if (before === undefined) found.set(value.name, value);
    else if (source.subject === null) ambiguous.add(value.name);
    else if (before.subject === undefined) found.set(value.name, value);
  }
  // Showing either of two models' figures as "the" figure would be wrong, so neither is shown.
  for (const name of ambiguous) found.delete(name);
  if (ambiguous.size > 0) {
    notes.push(
      `${source.stageId}.${source.output} has several subjects; name one (${source.stageId}.${source.output}#SUBJECT) to show ${[...ambiguous].join(', ')}`,
    );
  }
  return found;
}

interface ColumnMaker {
  readonly column: Column;
  /** The metric it shows; null for labels, published figures and notes. */
  readonly metric: string | null;
  readonly part: ComparisonColumn['part'];
  /** Everyone, unless something else decides. */
  readonly audience?: ComparisonColumn['audience'];
  cell(row: FilledRow): CellValue;
}

/** A label that is called like a figure's column, `epochs`, has `epochs_label`. */
function labelMakers(rows: readonly FilledRow[], taken: ReadonlySet<string>): ColumnMaker[] {
  // What is compared comes first, then the coordinates of matrix cells.
  const all = new Set(['model', 'precision', ...rows.flatMap((row) => Object.keys(row.labels))]);
  const names = [...all].filter((name) =>
    rows.some((row) => ownValue(row.labels, name) !== undefined),
  );
  return names.map((name) => ({
    column: {
      name: taken.has(name) ? `${name}_label` : name,
      ...{ title: name, kind: 'text', decimals: 0, terminalPriority: 10 },
    },
    metric: null,
    part: 'label',
    cell: (row) => ownValue(row.labels, name) ?? null,
  }));
}

function metricMakers(rows: readonly FilledRow[]): ColumnMaker[] {
  const unlisted = new Map<string, MetricValue[]>();
  for (const value of rows.flatMap((row) => [...row.metrics.values()])) {
    if (isListedMetric(value.name)) continue;
    const values = unlisted.get(value.name);
    if (values === undefined) unlisted.set(value.name, [value]);
    else values.push(value);
  }
  return [...METRIC_COLUMNS, ...[...unlisted.values()].map(unlistedMetricColumn)].flatMap(
    columnMakers,
  );
}

function columnMakers(column: MetricColumn): ColumnMaker[] {
  const scaled = (value: number): number => value * column.multiplier;
  const makers: ColumnMaker[] = [
    {
      column,
      metric: column.metric,
      part: 'value',
      cell: (row) => {
        const value = row.metrics.get(column.metric)?.value;
        return typeof value === 'number' ? scaled(value) : (value ?? null);
      },
    },
  ];
  if (column.interval === 'none') return makers;
  for (const [index, part] of (['low', 'high'] as const).entries()) {
    makers.push({
      column: { ...column, name: intervalColumnName(column.name, part), terminalPriority: 0 },
      metric: column.metric,
      part,
      ...(column.interval === 'files' ? { audience: 'files' } : {}),
      cell: (row) => {
        const end = row.metrics.get(column.metric)?.interval?.[index];
        return end === undefined ? null : scaled(end);
      },
    });
  }
  return makers;
}

/** `top1_percent` → `top1_low_percent`: the unit stays last. */
function intervalColumnName(name: string, part: 'low' | 'high'): string {
  const unit = /_(?:percent|ms|ratio)$/.exec(name)?.[0] ?? '';
  return `${name.slice(0, name.length - unit.length)}_${part}${unit}`;
}

function referenceMakers(reference: ReferenceSpec | null): ColumnMaker[] {
  if (reference === null) return [];
  return REFERENCE_COLUMNS.map((column) => ({
    column,
    metric: null,
    part: 'value',
    cell: (row) => row.reference?.[column.field] ?? null,
  }));
}

function noteMaker(tableNotes: readonly string[]): ColumnMaker {
  return {
    column: NOTE_COLUMN,
    metric: null,
    part: 'note',
    cell: (row) => {
      const notes = [...new Set([...row.notes, ...tableNotes])];
      return notes.length === 0 ? null : notes.join('; ');
    },
  };
}

/** A remark of some rows only names them; one that all rows share stands alone. */
function rowNotesWithLabels(row: FilledRow, rows: readonly FilledRow[]): string[] {
  return row.notes.map((note) => {
    const holders = rows.filter((other) => other.notes.includes(note));
    if (holders.length === rows.length) return note;
    return `${holders.map((holder) => Object.values(holder.labels).join(' ')).join(', ')}: ${note}`;
  });
}
