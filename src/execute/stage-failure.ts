import { appendFile, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DrqError } from '../diagnostics/errors.ts';
import { asStoreError, pathOfError, systemErrorCode } from '../store/system-error.ts';

const TAIL_LINES = 10;
/** Enough for ten long lines; a log may be gigabytes. */
const TAIL_BYTES = 8 * 1024;

export interface StageFailure {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  readonly logTail: readonly string[];
}

/** What to tell of an error in a stage; its stack, if it was not foreseen, goes to the log. */
export async function describeFailure(raw: unknown, logPath: string): Promise<StageFailure> {
  const error = await asStoreError(raw, pathOfError(raw) ?? dirname(logPath));
  const failure = explain(error);
  const logTail = withoutRepeats(await readTail(logPath), failure.message);
  await appendToLog(logPath, textForLog(error, failure));
  return { ...failure, logTail };
}

/** Code, message and hint of any error. */
export function explain(error: unknown): Omit<StageFailure, 'logTail'> {
  if (error instanceof DrqError) {
    const { code, message, hint } = error;
    return { code, message, ...(hint === undefined ? {} : { hint }) };
  }
  if (error instanceof Error) {
    const message = `${error.name}: ${error.message}`;
    return { code: 'stage/unexpected', message, hint: 'the stack trace is in the log' };
  }
  return {
    code: 'stage/unexpected',
    message: `the stage threw something that is no Error: ${String(error)}`,
    hint: 'throw an Error, which tells in the log where it comes from',
  };
}

/** The stack of what was not foreseen; where an error explains itself, only that. */
export function textForLog(
  error: unknown,
  { code, message }: Omit<StageFailure, 'logTail'>,
): string {
  const isForeseen = error instanceof DrqError || !(error instanceof Error);
  return isForeseen ? `${code}: ${message}` : (error.stack ?? message);
}

/** A stack frame as V8 writes it. */
const STACK_FRAME = /^\s+at .*:\d+:\d+\)?$/;

/** What the message says already, and stack traces, are no help below it. */
function withoutRepeats(logTail: readonly string[], message: string): readonly string[] {
  const said = message.split('\n').map((line) => line.trim());
  return logTail.filter(
    (line) => !STACK_FRAME.test(line) && !said.some((part) => part !== '' && line.endsWith(part)),
  );
}

/** The last lines of a log, read from its end; none when there is no log. */
export async function readTail(path: string): Promise<readonly string[]> {
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      const length = Math.min(size, TAIL_BYTES);
      const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
      const lines = buffer.toString('utf8').split('\n');
      if (length < size) lines.shift(); // cut in the middle
      return lines.filter((line) => line.trim() !== '').slice(-TAIL_LINES);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

async function appendToLog(path: string, text: string): Promise<void> {
  try {
    await appendFile(path, `${text}\n`);
  } catch (error) {
    // On a full disk, or before the work folder was made, the message itself has to do.
    if (systemErrorCode(error) === undefined) throw error;
  }
}
