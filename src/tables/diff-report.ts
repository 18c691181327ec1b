import { METRIC_COLUMNS } from './columns.ts';
import type { BoundCheck, BoundResults } from './check-bounds.ts';
import { exactDifference } from './fail-on.ts';
import type { LockDiff, StageDiff, ValueChange } from './lock-diff.ts';
import { renderMarkdownTable } from './markdown.ts';
import { renderBoxTable } from './terminal.ts';

/** Everything `drq diff` found out, before it is put into words. */
export interface DiffReport {
  /** How the user named the two sides. */
  readonly a: string;
  readonly b: string;
  readonly pipelines: readonly LockDiff[];
  /** Pipelines that only one side has. */
  readonly onlyInA: readonly string[];
  readonly onlyInB: readonly string[];
  readonly bounds: BoundResults;
}

interface TextColumn {
  readonly title: string;
  readonly kind: 'number' | 'text';
  readonly cells: readonly string[];
}

interface DiffStyle {
  heading(level: number, text: string): string;
  item(text: string): string;
  table(columns: readonly TextColumn[]): string;
  code(text: string): string;
}

const TERMINAL_STYLE: DiffStyle = {
  heading: (level, text) => (level === 1 ? text : `\n${text}`),
  item: (text) => `  ${text}`,
  table: renderBoxTable,
  code: (text) => text,
};

const MARKDOWN_STYLE: DiffStyle = {
  heading: (level, text) => `\n${'#'.repeat(level + 1)} ${text}\n`,
  item: (text) => `- ${text}`,
  table: (columns) => `\n${renderMarkdownTable(columns)}`,
  code: (text) => `\`${text.replaceAll('`', "'")}\``,
};

export function renderTerminalDiff(report: DiffReport): string {
  return renderDiff(report, TERMINAL_STYLE);
}

export function renderMarkdownDiff(report: DiffReport): string {
  return renderDiff(report, MARKDOWN_STYLE);
}

export function diffToJson(report: DiffReport): unknown {
  const { checks, incomparable } = report.bounds;
  return {
    a: report.a,
    b: report.b,
    onlyInA: report.onlyInA,
    onlyInB: report.onlyInB,
    pipelines: report.pipelines,
    bounds: checks.map(({ bound, ...check }) => ({ bound: bound.text, ...check })),
    incomparable,
  };
}

function renderDiff(report: DiffReport, style: DiffStyle): string {
  const lines: string[] = [];
  for (const diff of report.pipelines) {
    lines.push(style.heading(1, `${diff.pipeline}: A = ${report.a}, B = ${report.b}`));
    lines.push(...renderPipeline(diff, style));
  }
  for (const name of report.onlyInA) lines.push(style.item(`pipeline ${name} is only in A`));
  for (const name of report.onlyInB) lines.push(style.item(`pipeline ${name} is only in B`));
  lines.push(...renderBounds(report.bounds, style));
  return `${lines.join('\n').trim()}\n`;
}

function renderPipeline(diff: LockDiff, style: DiffStyle): string[] {
  const lines: string[] = [];
  if (diff.profile !== null) lines.push(style.item(changeText(diff.profile)));
  for (const id of diff.onlyInA) lines.push(style.item(`stage ${style.code(id)} is only in A`));
  for (const id of diff.onlyInB) lines.push(style.item(`stage ${style.code(id)} is only in B`));
  for (const stage of diff.changed) {
    lines.push(style.heading(2, style.code(stage.stageId)));
    lines.push(...renderStage(stage, style));
  }
  if (diff.changed.length === 0) {
    lines.push(style.item(`no difference in the ${diff.commonStageCount} stages of both`));
  }
  return lines;
}

function renderStage(stage: StageDiff, style: DiffStyle): string[] {
  const lines: string[] = [];
  const section = (word: string, changes: readonly ValueChange[]): void => {
    for (const change of changes) {
      lines.push(style.item(`${word} ${style.code(change.path)}: ${sidesText(change)}`));
    }
  };
  section('definition', stage.definition);
  section('parameter', stage.parameters);
  section('input', stage.inputs);
  section('output', stage.outputs);
  section('runtime', stage.runtimes);
  if (stage.metrics.length > 0) lines.push(style.table(metricTable(stage.metrics)));
  return lines;
}

function metricTable(changes: readonly ValueChange[]): TextColumn[] {
  const rows = changes.map(describeMetricChange);
  const column = (
    title: string,
    kind: TextColumn['kind'],
    pick: (row: MetricChangeText) => string,
  ): TextColumn => ({ title, kind, cells: rows.map(pick) });
  return [
    column('metric', 'text', ({ path }) => path),
    column('A', 'number', ({ before }) => before),
    column('B', 'number', ({ after }) => after),
    column('change', 'number', ({ change }) => change),
    column('', 'text', ({ verdict }) => verdict),
  ];
}

interface MetricChangeText {
  readonly path: string;
  readonly before: string;
  readonly after: string;
  readonly change: string;
  readonly verdict: string;
}

/** Fractions in percent and their change in percentage points; other numbers with the relative change. */
function describeMetricChange({ path, before, after }: ValueChange): MetricChangeText {
  const sides = { path, before: metricText(path, before), after: metricText(path, after) };
  if (typeof before !== 'number' || typeof after !== 'number') {
    return { ...sides, change: '', verdict: '' };
  }
  const difference = exactDifference(before, after);
  const change = isFraction(path)
    ? `${signed(difference * 100, 2)} pp`
    : `${signed(difference, 4)}${before === 0 ? '' : ` (${signed((difference / Math.abs(before)) * 100, 1)}%)`}`;
  return { ...sides, change, verdict: verdictOn(path, difference) };
}

function verdictOn(path: string, difference: number): string {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const direction = METRIC_COLUMNS.find(({ metric }) => metric === name)?.direction ?? 'neutral';
  if (direction === 'neutral' || difference === 0) return '';
  return difference > 0 === (direction === 'higher-is-better') ? 'better' : 'worse';
}

function metricText(path: string, value: unknown): string {
  if (value === undefined) return '';
  if (typeof value !== 'number') return valueText(value);
  return isFraction(path) ? `${(value * 100).toFixed(2)} %` : numberText(value, 4);
}

function isFraction(path: string): boolean {
  return path.endsWith('Fraction');
}

function signed(value: number, decimals: number): string {
  return `${value < 0 ? '' : '+'}${numberText(value, decimals)}`;
}

/** At most `decimals` decimals, none that say nothing. */
function numberText(value: number, decimals: number): string {
  return String(Number(value.toFixed(decimals)));
}

function changeText(change: ValueChange): string {
  return `${change.path}: ${sidesText(change)}`;
}

function sidesText({ before, after }: ValueChange): string {
  return `${valueText(before)} → ${valueText(after)}`;
}

function valueText(value: unknown): string {
  if (value === undefined) return '(none)';
  if (typeof value === 'string') return /^[0-9a-f]{64}$/.test(value) ? value.slice(0, 12) : value;
  return JSON.stringify(value);
}

function renderBounds({ checks, incomparable }: BoundResults, style: DiffStyle): string[] {
  if (checks.length === 0 && incomparable.length === 0) return [];
  const lines = [style.heading(1, 'Bounds')];
  for (const check of checks) {
    const verdict = check.isBroken ? 'BROKEN' : 'held';
    lines.push(style.item(`${verdict}  ${check.bound.text}  ${describeCheck(check)}`));
  }
  for (const reason of incomparable) lines.push(style.item(`cannot be compared  ${reason}`));
  return lines;
}

/** `evaluate/metrics/top1Fraction 58.00 % → 57.40 %, change -0.6 pp`, behind the pipeline of several. */
export function describeCheck(check: BoundCheck): string {
  const { bound, pipeline, path, before, after, change } = check;
  const unit = { pp: ' pp', '%': ' %', absolute: '' }[bound.unit];
  const place = pipeline === null ? '' : `${pipeline}: `;
  const size = signed(change, bound.unit === 'absolute' ? 6 : 3);
  return `${place}${path} ${metricText(path, before)} → ${metricText(path, after)}, change ${size}${unit}`;
}
