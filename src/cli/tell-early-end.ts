import type { Diagnostic, SourceRange } from '../diagnostics/diagnostic.ts';
import { InterruptedError, PipelineError } from '../diagnostics/errors.ts';
import { positionOf } from '../diagnostics/render.ts';
import { describeEnd } from '../execute/describe-end.ts';
import { whileOpen, type RunEnd } from '../execute/open-runs.ts';
import { toDrqError } from '../execute/to-drq-error.ts';
import type { Reporter } from '../report/reporter.ts';
import type { PipelineProblem, RunEndError } from '../report/run-event.ts';
import { readTextIfPresent } from './report-error.ts';

/**
 * Calls `use`; where it ends before a run has started, by an error or with the process, reports
 * `run-finished` with the reason. A run that has started reports its own end.
 */
export async function tellEarlyEnd<T>(
  reporter: Reporter,
  signal: AbortSignal,
  use: (reporter: Reporter) => Promise<T>,
): Promise<T> {
  let isTold = false;
  const tell = (end: RunEnd): void => {
    if (isTold) return;
    isTold = true;
    const counts = { ran: 0, restored: 0, upToDate: 0, failed: 0, skipped: 0, durationMs: 0 };
    reporter.report({ type: 'run-finished', ...counts, error: describeRefusal(end) });
  };
  const listened: Reporter = {
    report(event) {
      isTold ||= event.type === 'run-started';
      reporter.report(event);
    },
    close: () => reporter.close(),
  };
  try {
    return await whileOpen(tell, () => use(listened));
  } catch (error) {
    tell(signal.aborted ? new InterruptedError() : toDrqError(error));
    throw error;
  }
}

function describeRefusal(end: RunEnd): RunEndError {
  return {
    ...describeEnd(end),
    ...(end instanceof PipelineError ? { problems: end.diagnostics.map(describeProblem) } : {}),
  };
}

function describeProblem({ code, message, hint, range }: Diagnostic): PipelineProblem {
  return {
    code,
    message,
    ...(hint === undefined ? {} : { hint }),
    ...(range === undefined ? {} : { place: placeOf(range) }),
  };
}

function placeOf({ file, start }: SourceRange): NonNullable<PipelineProblem['place']> {
  const text = readTextIfPresent(file);
  return text === undefined ? { file } : { file, ...positionOf(text, start) };
}
