import type { Writable } from 'node:stream';
import type { Reporter } from './reporter.ts';

/** One event a line, as JSON, for programs. */
export function createJsonReporter(output: Pick<Writable, 'write'>): Reporter {
  return {
    report(event) {
      output.write(`${JSON.stringify(event)}\n`);
    },
    close() {
      // Every line is complete as it is written.
    },
  };
}
