import type { RunEndError } from '../report/run-event.ts';
import type { RunEnd } from './open-runs.ts';

/** What `run-finished` tells of what ended a run before its end. */
export function describeEnd({ code, message, hint }: RunEnd): RunEndError {
  return { code, message, ...(hint === undefined ? {} : { hint }) };
}
