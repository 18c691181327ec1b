import type { BigIntStats } from 'node:fs';
import { chmod, copyFile, lstat, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Digest } from '../stage/artifact.ts';
import { temporaryPathBeside, writeFileAtomic } from './atomic-write.ts';
import { hashBytes, hashFile } from './hash-file.ts';
import type { StatCache } from './stat-cache.ts';
import { isAbsent, systemErrorCode, withStoreErrors } from './system-error.ts';

export type ObjectState = 'sound' | 'missing' | 'damaged';

const READ_ONLY = 0o444;

/** Immutable blobs, found by the digest of their bytes: `objects/ab/cdef…`, mode 0444. */
export class ObjectStore {
  readonly #folder: string;
  readonly #cache: StatCache;

  constructor(folder: string, cache: StatCache) {
    this.#folder = folder;
    this.#cache = cache;
  }

  pathOf(digest: Digest): string {
    return join(this.#folder, digest.slice(0, 2), digest.slice(2));
  }

  /** Looks at the size always, and reads the bytes again when the file was touched since they were checked. */
  async inspect(digest: Digest, sizeBytes: number | null): Promise<ObjectState> {
    const path = this.pathOf(digest);
    const stats = await statOrNull(path);
    if (stats === null) return 'missing';
    if (!stats.isFile()) return 'damaged';
    if (sizeBytes !== null && stats.size !== BigInt(sizeBytes)) return 'damaged';
    const known = this.#cache.lookup(stats);
    if (known !== undefined) return known === digest ? 'sound' : 'damaged';
    const actual = await hashFile(path);
    this.#cache.record(stats, actual.digest);
    return actual.digest === digest ? 'sound' : 'damaged';
  }

  /** The text of an object whose bytes were just checked; null when it is missing or damaged. */
  async readText(digest: Digest): Promise<string | null> {
    try {
      const text = await readFile(this.pathOf(digest), 'utf8');
      return hashBytes(text) === digest ? text : null;
    } catch (error) {
      if (isAbsent(error)) return null;
      throw error;
    }
  }

  async putText(text: string): Promise<Digest> {
    const digest = hashBytes(text);
    if ((await this.inspect(digest, Buffer.byteLength(text))) === 'sound') return digest;
    const path = this.pathOf(digest);
    await writeFileAtomic(path, text);
    await this.#seal(path, digest);
    return digest;
  }

  /**
   * Takes a file into the store. The file is moved when nobody else has it (one link) and it may
   * be moved, and copied otherwise: a stage may have linked a file of the user's into its output.
   */
  async putFile(source: string, digest: Digest, sizeBytes: number): Promise<void> {
    if ((await this.inspect(digest, sizeBytes)) === 'sound') return;
    const path = this.pathOf(digest);
    await withStoreErrors(
      path,
      async () => {
        await mkdir(dirname(path), { recursive: true });
        const stats = await lstat(source, { bigint: true });
        if (!stats.isFile() || stats.nlink > 1n || !(await tryMove(source, path))) {
          await copyAside(source, path);
        }
      },
      sizeBytes,
    );
    await this.#seal(path, digest);
  }

  /** Remembers an object's new inode state after a link to it was made or removed by us. */
  async refresh(digest: Digest): Promise<void> {
    const stats = await statOrNull(this.pathOf(digest));
    if (stats !== null) this.#cache.record(stats, digest);
  }

  async #seal(path: string, digest: Digest): Promise<void> {
    await chmod(path, READ_ONLY);
    await this.refresh(digest);
  }
}

/** Stats of the name itself, or null when there is none. */
export async function statOrNull(path: string): Promise<BigIntStats | null> {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    if (isAbsent(error)) return null;
    throw error;
  }
}

async function tryMove(source: string, path: string): Promise<boolean> {
  await syncFile(source);
  try {
    await rename(source, path);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'EXDEV') return false;
    throw error;
  }
}

async function copyAside(source: string, path: string): Promise<void> {
  const temporary = temporaryPathBeside(path);
  try {
    await copyFile(source, temporary);
    await chmod(temporary, 0o600); // a copy takes the source's mode, which may forbid to sync it
    await syncFile(temporary);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
