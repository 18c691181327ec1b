import type { RunEvent } from './run-event.ts';

type EventOf<T extends RunEvent['type']> = Extract<RunEvent, { type: T }>;

const ACTION_WORDS = { run: 'run', restore: 'restore', 'up-to-date': 'up to date' } as const;
/** `up to date`, so that stage names stand below each other. */
const ACTION_WIDTH = 10;

/** `run         train  parameters.epochs 5 → 10`. */
export function stageLine(event: EventOf<'stage-started'>): string {
  return labelled(ACTION_WORDS[event.action], joined(event.stageId, event.reason));
}

/** `done        train  2 min 3 s`. */
export function finishedLine(event: EventOf<'stage-finished'>): string {
  return labelled('done', joined(event.stageId, showDuration(event.durationMs)));
}

/** `412/1000 images  87.3/s  7 s left  epoch 3/20, loss 0.912`. */
export function progressText(event: Omit<EventOf<'stage-progress'>, 'type' | 'stageId'>): string {
  const { done, total, unit, unitsPerSecond, remainingMs, label } = event;
  return [
    total === undefined
      ? `${showCount(done)} ${unit}`
      : `${showCount(done)}/${showCount(total)} ${unit}`,
    ...(unitsPerSecond === undefined ? [] : [showRate(unitsPerSecond, unit)]),
    ...(remainingMs === undefined || done === total ? [] : [`${showDuration(remainingMs)} left`]),
    ...(label === undefined ? [] : [label]),
  ].join('  ');
}

/** Lines on a failed stage: what, the hint, the last of the log, where the folder lies. */
export function failureLines(event: EventOf<'stage-failed'>): readonly string[] {
  const { stageId, code, message, hint, logTail, logPath, scratchPath } = event;
  const [firstLine = '', ...otherLines] = message.split('\n');
  return [
    labelled('failed', `${stageId}  ${firstLine} (${code})`),
    ...otherLines.map((line) => `    ${line.trimStart()}`),
    ...(hint === undefined ? [] : [`  hint: ${hint}`]),
    ...(logTail.length === 0
      ? []
      : ['  last lines of the log:', ...logTail.map((line) => `    ${line}`)]),
    ...(scratchPath === '' ? [] : [`  log:    ${logPath}`, `  folder: ${scratchPath}`]),
  ];
}

export function noticeLine(event: EventOf<'stage-notice'>): string {
  return labelled('note', `${event.stageId}  ${event.message}`);
}

export function warningLine(event: EventOf<'stage-warning'>): string {
  return labelled('warning', `${event.stageId}  ${event.message}`);
}

export function skippedLine(event: EventOf<'stage-skipped'>): string {
  return labelled(
    event.wasRunning ? 'stopped' : 'skipped',
    `${event.stageId}  ${event.because} failed`,
  );
}

export function waitingLine(event: EventOf<'lock-waiting'>): string {
  return labelled('waiting', joined(event.stageId ?? '', event.message));
}

/** `3 run, 1 restored, 8 up to date in 2 min 3 s`. */
export function summaryLine(event: EventOf<'run-finished'>): string {
  const counts = [
    [event.ran, 'run'],
    [event.restored, 'restored'],
    [event.upToDate, 'up to date'],
    [event.failed, 'failed'],
    [event.skipped, 'skipped'],
  ] as const;
  const shown = counts.filter(([count]) => count > 0).map(([count, word]) => `${count} ${word}`);
  return `${shown.length === 0 ? 'nothing done' : shown.join(', ')} in ${showDuration(event.durationMs)}`;
}

/** `230 ms`, `12.3 s`, `2 min 3 s`, `1 h 12 min`. */
export function showDuration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 59_950) return `${(milliseconds / 1000).toFixed(1)} s`;
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function showRate(unitsPerSecond: number, unit: string): string {
  if (unitsPerSecond >= 1) {
    return `${unitsPerSecond >= 100 ? Math.round(unitsPerSecond) : unitsPerSecond.toFixed(1)}/s`;
  }
  // Epochs and other slow things: the time for one says more.
  return `${showDuration(1000 / unitsPerSecond)} per ${unit.replace(/s$/, '')}`;
}

function showCount(count: number): string {
  return Number.isInteger(count) ? String(count) : count.toFixed(1);
}

function labelled(label: string, text: string): string {
  return `${label.padEnd(ACTION_WIDTH)}  ${text}`;
}

function joined(...parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join('  ');
}
