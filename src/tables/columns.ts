import type { MetricValue } from '../stage/metrics-file.ts';

export type ColumnKind = 'number' | 'text';

/** One column of a comparison table. */
export interface Column {
  /** Header of the CSV column and key in JSON; snake_case with the unit at the end. */
  readonly name: string;
  /** Header for people. */
  readonly title: string;
  readonly kind: ColumnKind;
  /** Decimals shown to people; the CSV has four more where there are decimals at all. */
  readonly decimals: number;
  /** Low values are left out first when a terminal is too narrow; 0 never shows there. */
  readonly terminalPriority: number;
}

/** A column filled from a metric of a stage. */
export interface MetricColumn extends Column {
  /** `MetricValue.name` in the metrics files. */
  readonly metric: string;
  /** Short name accepted by `drq diff --fail-on`. */
  readonly alias?: string;
  readonly direction: MetricValue['direction'];
  /** What the metric's value is multiplied by: 100 turns fractions into percent. */
  readonly multiplier: number;
  /** Whether the 95 % interval is told, in columns of its own: to everyone, or in the files only. */
  readonly interval: 'shown' | 'files' | 'none';
}

const percent = {
  kind: 'number',
  decimals: 2,
  multiplier: 100,
  direction: 'higher-is-better',
} as const;
const milliseconds = {
  kind: 'number',
  decimals: 3,
  multiplier: 1,
  direction: 'lower-is-better',
  interval: 'none',
} as const;
const ratio = {
  kind: 'number',
  decimals: 2,
  multiplier: 1,
  direction: 'higher-is-better',
  interval: 'none',
} as const;
const plain = { multiplier: 1, direction: 'neutral', interval: 'none' } as const;

/** Bytes in a MB, as the published tables and disk makers count it (not 2^20). */
export const BYTES_PER_MB = 1e6;

/** Measured columns, in the order they are shown. */
export const METRIC_COLUMNS: readonly MetricColumn[] = [
  {
    ...percent,
    name: 'top1_percent',
    title: 'top-1 %',
    metric: 'top1Fraction',
    alias: 'top1',
    interval: 'shown',
    terminalPriority: 9,
  },
  {
    ...percent,
    name: 'top5_percent',
    title: 'top-5 %',
    metric: 'top5Fraction',
    alias: 'top5',
    interval: 'files',
    terminalPriority: 0,
  },
  {
    ...percent,
    name: 'balanced_accuracy_percent',
    title: 'balanced accuracy %',
    metric: 'balancedAccuracyFraction',
    interval: 'files',
    terminalPriority: 0,
  },
  {
    name: 'quadratic_weighted_kappa',
    title: 'kappa',
    kind: 'number',
    decimals: 3,
    multiplier: 1,
    direction: 'higher-is-better',
    metric: 'quadraticWeightedKappa',
    alias: 'kappa',
    interval: 'shown',
    terminalPriority: 4,
  },
  {
    ...percent,
    name: 'agreement_percent',
    title: 'agreement %',
    metric: 'agreementFraction',
    alias: 'agreement',
    interval: 'files',
    terminalPriority: 5,
  },
  {
    name: 'sqnr_db',
    title: 'SQNR dB',
    kind: 'number',
    decimals: 1,
    multiplier: 1,
    direction: 'higher-is-better',
    metric: 'logitsSqnrDb',
    interval: 'none',
    terminalPriority: 1,
  },
  {
    ...plain,
    name: 'image_count',
    title: 'images',
    kind: 'number',
    decimals: 0,
    metric: 'imageCount',
    terminalPriority: 3,
  },
  {
    name: 'size_bytes',
    title: 'size bytes',
    kind: 'number',
    decimals: 0,
    multiplier: 1,
    direction: 'lower-is-better',
    metric: 'sizeBytes',
    alias: 'size',
    interval: 'none',
    terminalPriority: 0,
  },
  {
    name: 'size_mb',
    title: 'size MB',
    kind: 'number',
    decimals: 2,
    multiplier: 1 / BYTES_PER_MB,
    direction: 'lower-is-better',
    metric: 'sizeBytes',
    interval: 'none',
    terminalPriority: 9,
  },
  { ...ratio, name: 'size_ratio', title: 'size ratio', metric: 'sizeRatio', terminalPriority: 7 },
  {
    ...milliseconds,
    name: 'latency_mean_ms',
    title: 'mean ms',
    metric: 'latencyMeanMs',
    interval: 'files',
    terminalPriority: 2,
  },
  {
    ...milliseconds,
    name: 'latency_median_ms',
    title: 'median ms',
    metric: 'latencyMedianMs',
    interval: 'files',
    alias: 'latency',
    terminalPriority: 8,
  },
  {
    ...milliseconds,
    name: 'latency_p90_ms',
    title: 'p90 ms',
    metric: 'latencyP90Ms',
    terminalPriority: 2,
  },
  {
    ...ratio,
    name: 'speedup_ratio',
    title: 'speed-up',
    metric: 'speedup',
    interval: 'files',
    terminalPriority: 7,
  },
  {
    ...plain,
    name: 'thread_count',
    title: 'threads',
    kind: 'number',
    decimals: 0,
    metric: 'threadCount',
    terminalPriority: 0,
  },
  {
    ...plain,
    name: 'calibration_image_count',
    title: 'calibration images',
    kind: 'number',
    decimals: 0,
    metric: 'calibrationImageCount',
    terminalPriority: 3,
  },
  {
    ...plain,
    name: 'calibration_method',
    title: 'calibration method',
    kind: 'text',
    decimals: 0,
    metric: 'calibrationMethod',
    terminalPriority: 2,
  },
  {
    name: 'float_operator_count',
    title: 'float operators',
    kind: 'number',
    decimals: 0,
    multiplier: 1,
    direction: 'lower-is-better',
    metric: 'floatOperatorCount',
    interval: 'none',
    terminalPriority: 0,
  },
];

/** Published figures of the pipeline's `reference`, shown after the measured ones. */
export const REFERENCE_COLUMNS = [
  {
    name: 'published_top1_percent',
    title: 'published top-1 %',
    kind: 'number',
    decimals: 2,
    terminalPriority: 6,
    field: 'top1Percent',
  },
  {
    name: 'published_size_mb',
    title: 'published MB',
    kind: 'number',
    decimals: 2,
    terminalPriority: 6,
    field: 'sizeMb',
  },
  {
    name: 'published_latency_ms',
    title: 'published ms',
    kind: 'number',
    decimals: 2,
    terminalPriority: 6,
    field: 'latencyMs',
  },
] as const satisfies readonly (Column & { field: string })[];

/** Remarks that belong to a row; the last column of the CSV, lines below the table elsewhere. */
export const NOTE_COLUMN: Column = {
  name: 'note',
  title: 'note',
  kind: 'text',
  decimals: 0,
  terminalPriority: 0,
};

const LISTED_METRICS = new Set(METRIC_COLUMNS.map((column) => column.metric));

/** Whether a metric has a column of its own. */
export function isListedMetric(metric: string): boolean {
  return LISTED_METRICS.has(metric);
}

/**
 * A column for a metric the table above does not know, such as one of the user's own stages, from its values
 * in all rows, one at least.
 */
export function unlistedMetricColumn(values: readonly MetricValue[]): MetricColumn {
  const value = values[0]!; // one at least
  const isFraction = value.unit === 'fraction' && value.name.endsWith('Fraction');
  const words = (isFraction ? value.name.replace(/Fraction$/, 'Percent') : value.name).replace(
    /[A-Z]/g,
    (letter) => ` ${letter.toLowerCase()}`,
  );
  return {
    name: words.replaceAll(' ', '_'),
    title: isFraction ? words.replace(/ percent$/, ' %') : words,
    kind: typeof value.value === 'number' ? 'number' : 'text',
    // Of a fraction 1 is a whole number by chance, of others where all are.
    decimals: !isFraction && values.every((each) => Number.isInteger(each.value)) ? 0 : 4,
    terminalPriority: 1,
    metric: value.name,
    direction: value.direction,
    multiplier: isFraction ? 100 : 1,
    interval: value.interval === undefined ? 'none' : 'files',
  };
}

/** `top1` → `top1Fraction`; a name that is no alias stays as it is. */
export function resolveMetricAlias(name: string): string {
  return METRIC_COLUMNS.find((column) => column.alias === name)?.metric ?? name;
}
