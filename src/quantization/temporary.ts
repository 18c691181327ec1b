import { mkdtempSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EnvironmentError } from '../diagnostics/errors.ts';

/** What has to go should the process end first, whichever calls it belongs to. */
const inUse = new Set<string>();

/**
 * A new folder, to be given to `withRemoval`: at once, so that no end of the process comes between.
 * @throws EnvironmentError `environment/no-temporary-folder`
 */
export function makeTemporaryFolder(prefix: string): string {
  const parent = tmpdir();
  try {
    return mkdtempSync(join(parent, prefix));
  } catch (cause) {
    throw new EnvironmentError({
      code: 'environment/no-temporary-folder',
      message: `no folder can be made in the temporary folder ${parent}: ${reasonOf(cause)}`,
      hint: 'set TMPDIR (TEMP on Windows) to a folder that may be written, with room for the images',
      cause,
    });
  }
}

function reasonOf(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  switch (code) {
    case 'ENOENT':
      return 'it does not exist';
    case 'ENOTDIR':
      return 'it is no folder';
    case 'ENOSPC':
    case 'EDQUOT':
      return 'its disk is full';
    case 'EROFS':
      return 'its file system is read-only';
    default:
      return cause instanceof Error ? cause.message : String(cause);
  }
}

/**
 * Removes files and folders once `use` has ended, and also where `process.exit`, an uncaught error or
 * an unhandled rejection ends the process before. All calls share one listener, which no idle process
 * has.
 */
export async function withRemoval<T>(paths: readonly string[], use: () => Promise<T>): Promise<T> {
  if (inUse.size === 0) process.on('exit', removeAll);
  for (const path of paths) inUse.add(path);
  try {
    return await use();
  } finally {
    await Promise.all(paths.map((path) => rm(path, { recursive: true, force: true }))).finally(
      () => {
        for (const path of paths) inUse.delete(path);
        if (inUse.size === 0) process.off('exit', removeAll);
      },
    );
  }
}

function removeAll(): void {
  for (const path of inUse) {
    try {
      rmSync(path, { recursive: true, force: true, maxRetries: 3 }); // threads may still write there
    } catch {
      // What ended the process is what its exit code shall tell.
    }
  }
}
