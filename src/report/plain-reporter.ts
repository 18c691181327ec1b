import type { Writable } from 'node:stream';
import {
  failureLines,
  finishedLine,
  noticeLine,
  progressText,
  skippedLine,
  stageLine,
  summaryLine,
  waitingLine,
  warningLine,
} from './event-text.ts';
import type { Reporter } from './reporter.ts';
import type { RunEvent } from './run-event.ts';

/** A log of a long run stays readable at this pace, and still shows that it is alive. */
export const PROGRESS_INTERVAL_MS = 10_000;

/** Plain lines for logs and CI. */
export function createPlainReporter(output: Writable, now: () => number = Date.now): Reporter {
  const shownAt = new Map<string, number>();
  return {
    report(event) {
      for (const line of plainLines(event, shownAt, now)) output.write(`${line}\n`);
    },
    close() {
      // Every line is complete as it is written.
    },
  };
}

function plainLines(
  event: RunEvent,
  shownAt: Map<string, number>,
  now: () => number,
): readonly string[] {
  switch (event.type) {
    case 'run-started':
      return [];
    case 'lock-waiting':
      return [waitingLine(event)];
    case 'stage-started':
      shownAt.set(event.stageId, now()); // the first progress line comes after one interval
      return [stageLine(event)];
    case 'stage-progress':
      if (now() - (shownAt.get(event.stageId) ?? 0) < PROGRESS_INTERVAL_MS) return [];
      shownAt.set(event.stageId, now());
      return [`            ${event.stageId}  ${progressText(event)}`];
    case 'stage-notice':
      return [noticeLine(event)];
    case 'stage-warning':
      return [warningLine(event)];
    case 'stage-finished':
      return event.action === 'run' ? [finishedLine(event)] : [];
    case 'stage-failed':
      return failureLines(event);
    case 'stage-skipped':
      return [skippedLine(event)];
    case 'run-finished':
      return event.error === undefined ? [summaryLine(event)] : []; // the error itself is told
    default:
      return event satisfies never;
  }
}
