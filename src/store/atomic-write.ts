import { randomBytes } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { syncFolder } from '../runtime/sync-folder.ts';
import { withStoreErrors } from './system-error.ts';

/**
 * Writes a whole file or nothing: no reader and no crash ever sees half of it.
 * `disposable` saves the wait for the disk: after a power cut the file may be lost or empty.
 * @throws StoreError when the disk is full or the folder cannot be written.
 */
export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array,
  durability: 'durable' | 'disposable' = 'durable',
): Promise<void> {
  await withStoreErrors(
    path,
    async () => {
      await mkdir(dirname(path), { recursive: true });
      const temporary = temporaryPathBeside(path);
      try {
        const file = await open(temporary, 'wx');
        try {
          await file.writeFile(content);
          if (durability === 'durable') await file.sync();
        } finally {
          await file.close();
        }
        await rename(temporary, path);
      } catch (error) {
        await rm(temporary, { force: true });
        throw error;
      }
      if (durability === 'durable') await syncFolder(dirname(path));
    },
    Buffer.byteLength(content),
  );
}

/** A hidden name of its own in the same folder, so that a rename never crosses file systems. */
export function temporaryPathBeside(path: string): string {
  return join(
    dirname(path),
    `.${basename(path).slice(0, 100)}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`,
  );
}
