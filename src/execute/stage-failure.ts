import { appendFile, open } from 'node:fs/promises';
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
  const logTail = await readTail(logPath);
  const error = await asStoreError(raw, pathOfError(raw) ?? logPath);
  if (error instanceof DrqError) {
    const { code, message, hint } = error;
    await appendToLog(logPath, `${code}: ${message}`);
    return { code, message, ...(hint === undefined ? {} : { hint }), logTail };
  }
  const shown = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  await appendToLog(logPath, error instanceof Error ? (error.stack ?? shown) : shown);
  return {
    code: 'stage/unexpected',
    message: shown,
    hint: 'the stack trace is in the log',
    logTail,
  };
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
