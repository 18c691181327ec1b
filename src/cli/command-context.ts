import type { Writable } from 'node:stream';
import type { OptionValues } from './options.ts';

/** What a command may know of the process it runs in. */
export interface CommandContext {
  readonly cwd: string;
  /** Aborted on the first Ctrl-C, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Tables and JSON. */
  print(text: string): void;
  /** Text for people. */
  say(text: string): void;
  /** Columns of the terminal that stdout is, or null when it is none. */
  readonly stdoutWidth: number | null;
}

export interface CommandCall {
  readonly arguments: readonly string[];
  readonly options: OptionValues;
  readonly context: CommandContext;
}

/** Returns the exit code: 0, or 3 for a broken bound; everything else is thrown. */
export type CommandHandler = (call: CommandCall) => Promise<number>;
