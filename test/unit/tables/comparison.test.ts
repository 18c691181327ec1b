import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'csv-parse/sync';
import type {
  MetricSource,
  ReferenceSpec,
  StageId,
  TableSpec,
} from '../../../src/pipeline/spec.ts';
import type { MetricValue } from '../../../src/stage/metrics-file.ts';
import { buildComparison, type MetricsReader } from '../../../src/tables/comparison.ts';
import { renderCsv } from '../../../src/tables/csv.ts';
import { renderMarkdown } from '../../../src/tables/markdown.ts';
import { tableToJson } from '../../../src/tables/table-json.ts';
import { renderTerminalTable } from '../../../src/tables/terminal.ts';

const source = (
  stage: string,
  output = 'metrics',
  subject: string | null = null,
): MetricSource => ({
  stageId: stage as StageId, // a test's ids need no check
  output,
  subject,
});

const value = (
  name: string,
  number: number | string,
  rest: Partial<MetricValue> = {},
): MetricValue => ({
  name,
  value: number,
  unit: name.endsWith('Fraction') ? 'fraction' : '',
  direction: 'neutral',
  ...rest,
});

const TABLE: TableSpec = {
  name: 'comparison',
  rows: [
    {
      labels: { model: 'alexnet', precision: 'fp32', method: 'none' },
      sources: [source('evaluate-fp32'), source('benchmark', 'metrics', 'baseline')],
    },
    {
      labels: { model: 'alexnet', precision: 'int8', method: 'min-max' },
      sources: [
        source('evaluate-int8'),
        source('benchmark', 'metrics', 'model'),
        source('calibrate'),
      ],
    },
  ],
  notes: ['random start, 3 epochs'],
};

const REFERENCE: ReferenceSpec = {
  source: 'the paper',
  rows: [
    {
      model: 'alexnet',
      precision: 'fp32',
      top1Percent: 42.537,
      sizeMb: 90,
      note: 'cannot be right',
    },
    { model: 'alexnet', precision: 'int8', top1Percent: 42.537, latencyMs: 29.65 },
    { model: 'other', precision: 'int8', top1Percent: 1 },
  ],
};

const FILES: Record<string, { values: MetricValue[]; notes: string[] }> = {
  'evaluate-fp32': {
    // 60 of 103, Wilson: [48.62, 67.32] by hand.
    values: [value('top1Fraction', 60 / 103, { interval: [0.4862, 0.6732] })],
    notes: [],
  },
  'evaluate-int8': {
    values: [value('top1Fraction', 59 / 103), value('agreementFraction', 0.9612)],
    notes: ['a, "quoted" | note'],
  },
  benchmark: {
    values: [
      value('sizeBytes', 181992732, { subject: 'baseline' }),
      value('sizeBytes', 45600000, { subject: 'model' }),
      value('latencyMedianMs', 12.34567891, { subject: 'baseline' }),
      value('latencyMedianMs', 4.1, { subject: 'model', interval: [4, 4.3] }),
      value('speedup', 3.0111, { subject: 'model' }),
      value('threadCount', 1),
    ],
    notes: [],
  },
  calibrate: {
    values: [value('calibrationImageCount', 256), value('calibrationMethod', 'min-max')],
    notes: [],
  },
};
const readMetrics: MetricsReader = ({ stageId }) => FILES[stageId] ?? null;
const table = buildComparison(TABLE, REFERENCE, readMetrics);

test('the CSV comes back through an independent reader with units in its header and empty cells', () => {
  const rows = parse<Record<string, string>>(renderCsv(table), { columns: true });
  assert.equal(rows.length, 2);
  const [fp32, int8] = rows;
  assert.deepEqual(
    {
      model: fp32?.['model'],
      precision: fp32?.['precision'],
      method: fp32?.['method'],
      top1: fp32?.['top1_percent'],
      low: fp32?.['top1_low_percent'],
      high: fp32?.['top1_high_percent'],
      bytes: fp32?.['size_bytes'],
      mb: fp32?.['size_mb'],
      median: fp32?.['latency_median_ms'],
      speedup: fp32?.['speedup_ratio'],
      images: fp32?.['calibration_image_count'],
      published: fp32?.['published_size_mb'],
    },
    {
      model: 'alexnet',
      precision: 'fp32',
      method: 'none',
      top1: '58.252427',
      low: '48.62',
      high: '67.32',
      bytes: '181992732',
      mb: '181.992732',
      median: '12.3456789',
      speedup: '',
      images: '',
      published: '90',
    },
  );
  assert.equal(int8?.['size_mb'], '45.6');
  assert.equal(int8['speedup_ratio'], '3.0111');
  assert.equal(int8['top1_low_percent'], '');
  assert.equal(int8['calibration_method'], 'min-max');
  assert.equal(int8['latency_median_high_ms'], '4.3');
  assert.equal(int8['published_latency_ms'], '29.65');
  assert.equal(
    int8['note'],
    'a, "quoted" | note; random start, 3 epochs; published figures: the paper',
  );
  assert.equal(
    fp32?.['note'],
    'cannot be right; random start, 3 epochs; published figures: the paper',
  );
  assert.ok('latency_p90_ms' in int8, 'columns without values stay in the CSV');
});

test('Markdown shows intervals in the cell, leaves empty columns out and lists every note once', () => {
  const lines = renderMarkdown(table).split('\n');
  const header = lines.find((line) => line.startsWith('| model')) ?? '';
  const titles = header.split('|').map((cell) => cell.trim());
  assert.ok(titles.includes('top-1 % [95 %]'));
  assert.ok(!header.includes('p90 ms'));
  assert.ok(titles.includes('median ms'), 'intervals of times are in the CSV only');
  assert.ok(lines.some((line) => line.includes('58.25 [48.6, 67.3]')));
  assert.ok(lines.some((line) => line.includes('| 57.28 ') || line.includes(' 57.28 |')));
  assert.deepEqual(
    lines.filter((line) => line.startsWith('- ')),
    [
      '- random start, 3 epochs',
      '- published figures: the paper',
      '- alexnet fp32 none: cannot be right',
      '- alexnet int8 min-max: a, "quoted" \\| note',
    ],
  );
  const widths = lines.filter((line) => line.startsWith('|')).map((line) => line.length);
  assert.equal(new Set(widths).size, 1, 'all rows are equally long');
});

test('a narrow terminal keeps labels and says how many columns are elsewhere', () => {
  const wide = renderTerminalTable(table, 400);
  const narrow = renderTerminalTable(table, 60);
  assert.ok(wide.includes('speed-up'));
  assert.ok(narrow.includes('alexnet') && narrow.includes('top-1'));
  assert.ok(!narrow.includes('published MB'));
  assert.match(narrow, /\d+ more columns in the CSV/);
  const box = narrow.split('\n').filter((line) => /^[┌│├└]/.test(line));
  assert.ok(Math.max(...box.map((line) => line.length)) <= 60);
});

test('JSON has null where nothing was measured', () => {
  const [fp32] = tableToJson(table).rows;
  assert.equal(fp32?.['speedup_ratio'], null);
  assert.equal(fp32['top1_percent'], 58.252427);
});

test('a table of stages that have not run has its labels and nothing else', () => {
  const empty = buildComparison(TABLE, null, () => null);
  assert.deepEqual(
    empty.columns.filter(({ isFilled }) => isFilled).map(({ name }) => name),
    ['model', 'precision', 'method', 'note'],
  );
  assert.equal(
    empty.columns.some(({ name }) => name.startsWith('published')),
    false,
  );
});

test('figures of two subjects are not mixed: without a subject neither is shown, and it is said', () => {
  const rows = [{ labels: { model: 'm' }, sources: [source('benchmark')] }];
  const mixed = buildComparison({ name: 't', rows, notes: [] }, null, readMetrics);
  const json = tableToJson(mixed).rows[0];
  assert.equal(json?.['size_bytes'], null);
  assert.equal(json['speedup_ratio'], 3.0111);
  assert.match(
    mixed.notes[0] ?? '',
    /benchmark\.metrics has several subjects; name one \(benchmark\.metrics#SUBJECT\) to show sizeBytes/,
  );
});

test('the first source that reports a metric wins', () => {
  const rows = [
    { labels: { model: 'm' }, sources: [source('evaluate-int8'), source('evaluate-fp32')] },
  ];
  const built = buildComparison({ name: 't', rows, notes: [] }, null, readMetrics);
  assert.equal(tableToJson(built).rows[0]?.['top1_percent'], Number(((59 / 103) * 100).toFixed(6)));
});

test("metrics of one's own stages get columns named after them", () => {
  const rows = [{ labels: { model: 'm' }, sources: [source('own')] }];
  const built = buildComparison({ name: 't', rows, notes: [] }, null, () => ({
    values: [value('sparsityFraction', 0.25), value('wordCount', 7), value('flavour', 'plain')],
    notes: [],
  }));
  const json = tableToJson(built).rows[0];
  assert.equal(json?.['sparsity_percent'], 25);
  assert.equal(json['word_count'], 7);
  assert.equal(json['flavour'], 'plain');
});

test("beside known figures, metrics of one's own are for the files only", () => {
  const rows = [{ labels: { size: '3', precision: 'int8', model: 'm' }, sources: [source('own')] }];
  const built = buildComparison({ name: 't', rows, notes: [] }, null, () => ({
    values: [value('top1Fraction', 0.5), value('wordCount', 7)],
    notes: [],
  }));
  assert.ok(!renderMarkdown(built).includes('word count'));
  assert.ok(renderCsv(built).includes('word_count'));
  assert.match(renderCsv(built), /^model,precision,size,/);
});

test('a metric of zero is 0 and not empty', () => {
  const rows = [{ labels: { model: 'm' }, sources: [source('own')] }];
  const built = buildComparison({ name: 't', rows, notes: [] }, null, () => ({
    values: [value('top1Fraction', 0, { interval: [0, 0] }), value('floatOperatorCount', 0)],
    notes: [],
  }));
  const [row] = parse<Record<string, string>>(renderCsv(built), { columns: true });
  assert.equal(row?.['top1_percent'], '0');
  assert.equal(row['top1_high_percent'], '0');
  assert.equal(row['float_operator_count'], '0');
});

test("a fraction of one's own has its decimals though the first is a whole number", () => {
  const stages = ['a', 'b'];
  const rows = stages.map((stage) => ({ labels: { model: stage }, sources: [source(stage)] }));
  const built = buildComparison({ name: 't', rows, notes: [] }, null, ({ stageId }) => ({
    values: [
      value('sparsityFraction', stageId === 'a' ? 1 : 1 / 3),
      value('wordCount', stageId === 'a' ? 7 : 8),
      value('tilt', stageId === 'a' ? 1 : 1 / 3),
    ],
    notes: [],
  }));
  const [a, b] = parse<Record<string, string>>(renderCsv(built), { columns: true });
  assert.match(b?.['sparsity_percent'] ?? '', /^33\.3333/);
  assert.match(b?.['tilt'] ?? '', /^0\.3333/);
  assert.equal(b?.['word_count'], '8');
  const width = (text = ''): number => text.length;
  assert.equal(width(b['sparsity_percent']), width('33.33333333'));
  assert.equal(a?.['sparsity_percent'], '100');
});

test('a label called like a column of figures has a column of its own', () => {
  const rows = [{ labels: { model: 'm', note: 'mine' }, sources: [source('own')] }];
  const built = buildComparison({ name: 't', rows, notes: ['theirs'] }, null, () => ({
    values: [value('top1Fraction', 0.5)],
    notes: [],
  }));
  const json = tableToJson(built).rows[0];
  assert.equal(json?.['note_label'], 'mine');
  assert.equal(json['note'], 'theirs');
});
