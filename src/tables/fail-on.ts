import { UsageError } from '../diagnostics/errors.ts';
import { resolveMetricAlias } from './columns.ts';

export type BoundOperator = '<' | '<=' | '>' | '>=';
/** `pp`: percentage points of a fraction. `%`: relative to A. `absolute`: in the metric's own unit. */
export type BoundUnit = 'pp' | '%' | 'absolute';

/** A change from A to B that must not be: `top1 < -0.5pp`. */
export interface FailureBound {
  /** As the user wrote it, for messages. */
  readonly text: string;
  /** Metric name, alias resolved, or the end of a metric's path. */
  readonly metric: string;
  readonly operator: BoundOperator;
  readonly limit: number;
  readonly unit: BoundUnit;
}

export const BOUND_GRAMMAR =
  "METRIC (<|<=|>|>=) [+|-]NUMBER[pp|%], for instance 'top1 < -0.5pp', 'latencyMedianMs > +5%' or 'sizeBytes > 0'";

// The metric may hold `=` (matrix cells) and spaces, but no comparison sign.
const BOUND_PATTERN =
  /^\s*([^<>\s](?:[^<>]*[^<>\s])?)\s*(<=|>=|<|>)\s*([+-]?)\s*(\d+(?:\.\d+)?|\.\d+)\s*(pp|%)?\s*$/;

/** @throws UsageError `usage/malformed-bound`, with the grammar, when `text` is none. */
export function parseFailureBound(text: string): FailureBound {
  const match = BOUND_PATTERN.exec(text);
  const [, metric, operator, sign, number, unit] = match ?? [];
  if (metric === undefined || operator === undefined || number === undefined) {
    throw new UsageError({
      code: 'usage/malformed-bound',
      message: `--fail-on "${text}" is not a bound on a change`,
      hint: `write ${BOUND_GRAMMAR}`,
    });
  }
  const magnitude = Number(number);
  return {
    text,
    metric: resolveMetricAlias(metric),
    operator: operator as BoundOperator, // one of the pattern's alternatives
    limit: sign === '-' ? -magnitude : magnitude,
    unit: unit === 'pp' || unit === '%' ? unit : 'absolute',
  };
}

/** Whether `path` (`stage/output/subject/name`) is what the bound speaks of: the same, or ending in it. */
export function boundMatches(bound: FailureBound, path: string): boolean {
  return path === bound.metric || path.endsWith(`/${bound.metric}`);
}

/** The change B - A in the bound's unit; both finite. A change from 0 is infinite in percent. */
export function changeInUnit(before: number, after: number, unit: BoundUnit): number {
  const change = exactDifference(before, after);
  switch (unit) {
    case 'absolute':
      return change;
    case 'pp':
      return exact(change * 100);
    case '%':
      if (change === 0) return 0;
      return before === 0 ? Math.sign(change) * Infinity : exact((change / Math.abs(before)) * 100);
  }
}

export function isBroken(bound: FailureBound, change: number): boolean {
  switch (bound.operator) {
    case '<':
      return change < bound.limit;
    case '<=':
      return change <= bound.limit;
    case '>':
      return change > bound.limit;
    case '>=':
      return change >= bound.limit;
  }
}

/** B - A, freed of the last bits that decimal fractions leave behind: 0.575 → 0.58 is 0.005. */
export function exactDifference(before: number, after: number): number {
  return exact(after - before);
}

/** Twelve digits are far more than any metric has, and fewer than a float's rounding disturbs. */
function exact(value: number): number {
  return Number(value.toPrecision(12));
}
