import { DataError } from '../../diagnostics/errors.ts';
import type { PipelineLock } from '../../store/pipeline-lock.ts';
import { checkBounds, type LockPair } from '../../tables/check-bounds.ts';
import {
  describeCheck,
  diffToJson,
  renderMarkdownDiff,
  renderTerminalDiff,
  type DiffReport,
} from '../../tables/diff-report.ts';
import { parseFailureBound } from '../../tables/fail-on.ts';
import { diffLocks } from '../../tables/lock-diff.ts';
import { readLocks } from '../../tables/lock-source.ts';
import type { CommandCall, CommandContext } from '../command-context.ts';

/** `drq diff A B`: 0 compared, 3 when a bound is broken, 1 when it cannot be compared. */
export async function diff({ arguments: sides, options, context }: CommandCall): Promise<number> {
  const [a = '', b = ''] = sides; // the command line requires both
  // Bounds first: a malformed one is a usage error, whatever the locks hold.
  const bounds = (options.failOn ?? []).map(parseFailureBound);
  const locksA = await readLocks(a, context.cwd, context.signal);
  const locksB = await readLocks(b, context.cwd, context.signal);
  const pairs = pairLocks(locksA, locksB);
  const whole = pairs.flatMap(({ a, b }) => (a === null || b === null ? [] : [{ a, b }]));
  const report: DiffReport = {
    a,
    b,
    pipelines: whole.map((pair) => diffLocks(pair.a, pair.b)),
    onlyInA: pairs.flatMap(({ a, b }) => (b === null && a !== null ? [a.pipeline] : [])),
    onlyInB: pairs.flatMap(({ a, b }) => (a === null && b !== null ? [b.pipeline] : [])),
    bounds: checkBounds(bounds, pairs),
  };
  context.print(renderReport(report, options.diffFormat));
  return judge(report, context);
}

/** Two single locks are compared whatever their names; more than that go by the pipeline's name. */
function pairLocks(locksA: readonly PipelineLock[], locksB: readonly PipelineLock[]): LockPair[] {
  const [firstA] = locksA;
  const [firstB] = locksB;
  if (locksA.length === 1 && locksB.length === 1 && firstA !== undefined && firstB !== undefined) {
    return [{ a: firstA, b: firstB }];
  }
  const byName = new Map(locksB.map((lock) => [lock.pipeline, lock]));
  const namesInA = new Set(locksA.map(({ pipeline }) => pipeline));
  const onlyInB = locksB.filter(({ pipeline }) => !namesInA.has(pipeline));
  return [
    ...locksA.map((a) => ({ a, b: byName.get(a.pipeline) ?? null })),
    ...onlyInB.map((b) => ({ a: null, b })),
  ];
}

function renderReport(report: DiffReport, format: string | undefined): string {
  switch (format) {
    case 'json':
      return JSON.stringify(diffToJson(report), null, 2);
    case 'markdown':
      return renderMarkdownDiff(report);
    default:
      return renderTerminalDiff(report);
  }
}

/** A comparison that could not be made never passes; a broken bound is told before it. */
function judge(report: DiffReport, context: CommandContext): number {
  if (report.pipelines.every(({ commonStageCount }) => commonStageCount === 0)) {
    throw new DataError({
      code: 'diff/nothing-in-common',
      message: `"${report.a}" and "${report.b}" have no stage in common`,
      hint: 'compare two results of the same pipeline',
    });
  }
  const { checks, incomparable } = report.bounds;
  const broken = checks.filter(({ isBroken }) => isBroken);
  for (const reason of incomparable) context.say(`error diff/cannot-compare: ${reason}`);
  for (const check of broken) {
    context.say(`error diff/bound-broken: ${check.bound.text}: ${describeCheck(check)}`);
  }
  if (broken.length > 0) return 3;
  return incomparable.length > 0 ? 1 : 0;
}
