import { open } from 'node:fs/promises';

/** Makes renames inside a folder survive a power cut; a file system that cannot do it is left alone. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException; // of a file operation
    // Some network file systems refuse to sync a folder; they order renames themselves.
    if (code !== 'EINVAL' && code !== 'ENOTSUP') throw error;
  } finally {
    await folder.close();
  }
}
