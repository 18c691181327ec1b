import { ProgressMeter, type MeteredProgress } from '../execute/progress-meter.ts';
import { progressText } from '../report/event-text.ts';
import { PROGRESS_INTERVAL_MS } from '../report/plain-reporter.ts';

export interface PhaseProgress {
  readonly phase: string;
  /** Images. */
  readonly done: number;
  readonly total: number;
}

export interface ProgressOutput {
  /** Null where nobody watches: then a line now and then is said. */
  readonly writeLive: ((text: string) => void) | null;
  readonly say: (line: string) => void;
  readonly now: () => number;
}

/** What a command does, phase by phase, with rate and time left: on a terminal one line that counts. */
export function createProgressLines(output: ProgressOutput): (progress: PhaseProgress) => void {
  const { writeLive, say, now } = output;
  let phase: string | null = null;
  let meter: ProgressMeter | null = null;
  let saidAt = -Infinity;
  const show = (shownPhase: string, progress: MeteredProgress): void => {
    const text = `${shownPhase}  ${progressText(progress)}`;
    const isOver = progress.done >= (progress.total ?? Infinity);
    if (writeLive !== null) {
      writeLive(`\r${text}\u001b[K${isOver ? '\n' : ''}`);
    } else if (!isOver && now() - saidAt >= PROGRESS_INTERVAL_MS) {
      saidAt = now();
      say(text);
    }
  };
  return ({ phase: next, done, total }) => {
    if (meter === null || next !== phase) {
      meter?.finish();
      phase = next;
      meter = new ProgressMeter((progress) => show(next, progress), now);
      if (writeLive === null) say(`${next}  ${total} images`);
      saidAt = now();
    }
    meter.update({ done, total, unit: 'images' });
    if (done >= total) meter.finish();
  };
}
