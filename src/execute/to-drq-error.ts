import { DrqError, InternalError, type StageError } from '../diagnostics/errors.ts';
import { uncaughtIn, usersFileIn } from './uncaught-in-stage.ts';

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

/** Whatever was thrown, as an error that explains itself. */
export function toDrqError(thrown: unknown): DrqError {
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
