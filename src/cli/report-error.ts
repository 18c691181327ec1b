import { readFileSync, statSync } from 'node:fs';
import { DrqError, InternalError, PipelineError, type StageError } from '../diagnostics/errors.ts';
import { uncaughtIn, usersFileIn } from '../execute/uncaught-in-stage.ts';
import { systemErrorCode } from '../store/system-error.ts';

/** Says one error on stderr the way all are said, and returns its exit code. */
export async function reportError(thrown: unknown, say: (text: string) => void): Promise<number> {
  const error = toDrqError(thrown);
  if (error instanceof PipelineError) {
    const { renderDiagnostics } = await import('../diagnostics/render.ts');
    say(renderDiagnostics(error.diagnostics, readTextIfPresent));
  } else {
    say(`error ${error.code}: ${error.message}`);
    if (error.hint !== undefined) say(`hint: ${error.hint}`);
  }
  if (error.exitCode === 70 || process.env['DRQ_DEBUG'] === '1') say(describeStack(thrown));
  return error.exitCode;
}

/** Failures of the machine that any write or read can meet; they are no bugs of ours. */
const SYSTEM_ERRORS: Readonly<Record<string, { code: string; hint: string }>> = {
  ENOSPC: { code: 'system/disk-full', hint: 'free some space on that disk and run again' },
  EDQUOT: { code: 'system/disk-full', hint: 'the quota of this user is used up; free some space' },
  EROFS: { code: 'system/read-only', hint: 'that file system is read-only; choose another --root' },
  EACCES: { code: 'system/no-permission', hint: 'check the permissions of that path' },
  EPERM: { code: 'system/no-permission', hint: 'check the permissions of that path' },
  EMFILE: { code: 'system/too-many-files', hint: 'raise the limit of open files (`ulimit -n`)' },
  ENFILE: { code: 'system/too-many-files', hint: 'the machine has too many open files' },
};

function toDrqError(thrown: unknown): DrqError {
  if (thrown instanceof DrqError) return thrown;
  if (thrown instanceof Error) {
    const known = SYSTEM_ERRORS[(thrown as NodeJS.ErrnoException).code ?? ''];
    if (known !== undefined) {
      return new DrqError({ ...known, message: thrown.message, cause: thrown });
    }
    return uncaughtInOwnKind(thrown) ?? new InternalError(thrown.message, thrown);
  }
  return new InternalError(`something that is no Error was thrown: ${String(thrown)}`);
}

/** What a module of the user's throws when nobody waits for it, from a timer or a promise, is its own mistake. */
function uncaughtInOwnKind(thrown: Error): StageError | undefined {
  const file = usersFileIn(thrown.stack ?? '');
  if (file === undefined) return undefined;
  return uncaughtIn(file, thrown, 'DRQ_DEBUG=1 shows the stack');
}

/** Of a larger file the size is what is wrong. */
const MAX_EXCERPTED_BYTES = 2 ** 22;

/** What is wrong may be that the file cannot be read; the message is then shown without an excerpt. */
function readTextIfPresent(file: string): string | undefined {
  try {
    const stats = statSync(file);
    if (!stats.isFile() || stats.size > MAX_EXCERPTED_BYTES) return undefined;
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    return undefined;
  }
}

function describeStack(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const lines = [thrown.stack ?? thrown.message];
  for (let cause = thrown.cause; cause instanceof Error; cause = cause.cause) {
    lines.push(`caused by: ${cause.stack ?? cause.message}`);
  }
  return lines.join('\n');
}
