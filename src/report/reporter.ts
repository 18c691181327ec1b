import type { RunEvent } from './run-event.ts';

/** Shows a run to somebody: a person at a terminal, a log, a program. */
export interface Reporter {
  report(event: RunEvent): void;
  /** Leaves the terminal as it should be; called once, after the last event. */
  close(): void;
}
