import { mkdtempSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What has to go should the process end first, whichever calls it belongs to. */
const inUse = new Set<string>();

/** A new folder, to be given to `withRemoval`: at once, so that no end of the process comes between. */
export function makeTemporaryFolder(prefix: string): string {
  return mkdtempSync(join(tmpdir(), prefix));
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
