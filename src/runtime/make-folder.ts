import { mkdir } from 'node:fs/promises';

/**
 * Makes a folder and those above it. On a read-only file system Node's recursive `mkdir` fails with ENOENT for
 * the first folder that it cannot make; made by itself that one fails with the reason.
 */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    const { code, path: refused } = error as NodeJS.ErrnoException; // of a file operation
    if (code !== 'ENOENT' || refused === undefined) throw error;
    await mkdir(refused);
    // It could be made after all: what stood above it was removed at that moment.
    await mkdir(path, { recursive: true });
  }
}
