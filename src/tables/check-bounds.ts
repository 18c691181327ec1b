import { ownValue } from '../diagnostics/own-value.ts';
import type { PipelineLock } from '../store/pipeline-lock.ts';
import { boundMatches, changeInUnit, isBroken, type FailureBound } from './fail-on.ts';

/** One metric held against one bound. */
export interface BoundCheck {
  readonly bound: FailureBound;
  /** Null where no other is compared. */
  readonly pipeline: string | null;
  /** `stage/output/subject/name`. */
  readonly path: string;
  readonly before: number;
  readonly after: number;
  /** B - A in the bound's unit. */
  readonly change: number;
  readonly isBroken: boolean;
}

export interface BoundResults {
  readonly checks: readonly BoundCheck[];
  /** Why some bound could not be judged; such a comparison must not pass. */
  readonly incomparable: readonly string[];
}

/** The lock of one pipeline on both sides; null where a side has none. */
export interface LockPair {
  readonly a: PipelineLock | null;
  readonly b: PipelineLock | null;
}

/** Holds every matching metric of two locks against every bound. */
export function checkBounds(
  bounds: readonly FailureBound[],
  pairs: readonly LockPair[],
): BoundResults {
  const checks: BoundCheck[] = [];
  const incomparable: string[] = [];
  for (const bound of bounds) {
    let matchCount = 0;
    for (const { a, b } of pairs) {
      const pipeline = pairs.length > 1 ? ((a ?? b)?.pipeline ?? null) : null;
      const place = pipeline === null ? '' : `${pipeline}: `;
      const before = metricsByPath(a);
      const after = metricsByPath(b);
      const paths = [...new Set([...before.keys(), ...after.keys()])].filter((path) =>
        boundMatches(bound, path),
      );
      matchCount += paths.length;
      const movedStages = stagesOfOtherMachines(a, b);
      for (const path of paths) {
        const result = movedStages.some((id) => path.startsWith(`${id}/`) && isTiming(path))
          ? `${path} was measured on two different machines`
          : checkOne(bound, path, before.get(path), after.get(path));
        if (typeof result === 'string') incomparable.push(`${bound.text}: ${place}${result}`);
        else checks.push({ ...result, pipeline });
      }
    }
    if (matchCount === 0) {
      incomparable.push(`${bound.text}: no stage of either side has a metric "${bound.metric}"`);
    }
  }
  return { checks, incomparable };
}

function checkOne(
  bound: FailureBound,
  path: string,
  before: number | string | undefined,
  after: number | string | undefined,
): Omit<BoundCheck, 'pipeline'> | string {
  if (before === undefined) return `${path} is only in B`;
  if (after === undefined) return `${path} is only in A`;
  if (typeof before === 'string' || typeof after === 'string') {
    return `${path} is a text ("${before}" → "${after}"), not a number`;
  }
  if (bound.unit === 'pp' && !path.endsWith('Fraction')) {
    return `${path} is no fraction, so it has no percentage points; use % or no unit`;
  }
  if (bound.unit === 'absolute' && Math.abs(bound.limit) >= 1 && path.endsWith('Fraction')) {
    return `${path} is a fraction of 1, which nothing changes by as much; write pp for percentage points or % for a change relative to A`;
  }
  const change = changeInUnit(before, after, bound.unit);
  return { bound, path, before, after, change, isBroken: isBroken(bound, change) };
}

function stagesOfOtherMachines(a: PipelineLock | null, b: PipelineLock | null): string[] {
  if (a === null || b === null) return [];
  return Object.keys(a.stages).filter(
    (id) =>
      Object.hasOwn(b.stages, id) && a.stages[id]?.machine !== ownValue(b.stages, id)?.machine,
  );
}

/** Figures that say as much about the machine as about the model. */
function isTiming(path: string): boolean {
  return /(?:Ms|PerSecond|speedup)$/.test(path);
}

/** Every metric of a lock by `stage/output/subject/name`. */
function metricsByPath(lock: PipelineLock | null): ReadonlyMap<string, number | string> {
  return new Map(
    Object.entries(lock?.stages ?? {}).flatMap(([stageId, { metrics }]) =>
      Object.entries(metrics).map(([path, value]) => [`${stageId}/${path}`, value] as const),
    ),
  );
}
