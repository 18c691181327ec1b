import { chmod, copyFile, link, mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DataError, StoreError } from '../diagnostics/errors.ts';
import type { Artifact, Digest } from '../stage/artifact.ts';
import type { ArtifactStore } from './artifact-store.ts';
import { temporaryPathBeside } from './atomic-write.ts';
import { walkFolder, type FolderListing } from './folder-listing.ts';
import { hashFile } from './hash-file.ts';
import { mapLimited } from './map-limited.ts';
import { statOrNull } from './object-store.ts';
import { digestKnownFile, type StatCache } from './stat-cache.ts';
import { systemErrorCode, withStoreErrors } from './system-error.ts';

const CONCURRENCY = 8;

export type CopyState = 'current' | 'missing' | 'changed';

/**
 * Copies of artifacts under readable names, for people and for the stages that read them: hard
 * links to the store's objects (read-only), real copies where the file system has no links.
 */
export class WorkingCopies {
  readonly #store: ArtifactStore;
  readonly #cache: StatCache;

  constructor(store: ArtifactStore, cache: StatCache) {
    this.#store = store;
    this.#cache = cache;
  }

  /** Whether exactly the artifact lies at `path`; `listing` is null for a file. */
  async inspect(
    artifact: Artifact,
    listing: FolderListing | null,
    path: string,
  ): Promise<CopyState> {
    const stats = await statOrNull(path);
    if (stats === null) return 'missing';
    if (listing === null) {
      if (!stats.isFile() || stats.size !== BigInt(artifact.sizeBytes)) return 'changed';
      const { digest } = await digestKnownFile(path, stats, this.#cache);
      return digest === artifact.digest ? 'current' : 'changed';
    }
    return stats.isDirectory() ? this.#inspectFolder(listing, path) : 'changed';
  }

  /**
   * Puts the artifact at `path`, in place of whatever is there; nobody sees a part of it.
   * @throws StoreError `store/damaged` when the store no longer has it whole.
   */
  async materialize(artifact: Artifact, path: string): Promise<void> {
    const stored = await this.#store.inspect(artifact);
    if (stored.state !== 'sound') throw damaged(artifact.digest, stored.place);
    const { listing } = stored;
    if ((await this.inspect(artifact, listing, path)) === 'current') return;
    await withStoreErrors(
      path,
      async () => {
        await mkdir(dirname(path), { recursive: true });
        const temporary = temporaryPathBeside(path);
        try {
          if (listing === null) await this.#place(artifact.digest, temporary);
          else await this.#placeFolder(listing, temporary);
          await this.remove(path);
          await rename(temporary, path);
        } catch (error) {
          await rm(temporary, { recursive: true, force: true });
          throw error;
        }
        // Each link changed its object's ctime; the bytes were checked just before.
        const digests = listing?.files.map((file) => file.digest) ?? [artifact.digest];
        for (const digest of new Set(digests)) await this.#store.objects.refresh(digest);
      },
      artifact.sizeBytes,
    );
  }

  /** Removes a working copy without making the store forget that its objects are sound. */
  async remove(path: string): Promise<void> {
    const stats = await statOrNull(path);
    if (stats === null) return;
    const digests = new Set<Digest>();
    const files = stats.isDirectory() ? await walkOrNothing(path) : [{ stats }];
    for (const file of files) {
      const digest = this.#cache.lookup(file.stats);
      if (digest !== undefined) digests.add(digest);
    }
    const sound: Digest[] = [];
    for (const digest of digests) {
      if ((await this.#store.objects.inspect(digest, null)) === 'sound') sound.push(digest);
    }
    const aside = temporaryPathBeside(path);
    await rename(path, aside);
    await rm(aside, { recursive: true, force: true });
    for (const digest of sound) await this.#store.objects.refresh(digest);
  }

  async #inspectFolder(listing: FolderListing, path: string): Promise<CopyState> {
    let walked;
    try {
      walked = await walkFolder(path);
    } catch (error) {
      if (error instanceof DataError) return 'changed';
      throw error;
    }
    if (walked.length !== listing.files.length) return 'changed';
    for (const [index, file] of listing.files.entries()) {
      const copy = walked[index];
      if (copy?.path !== file.path || copy.stats.size !== BigInt(file.sizeBytes)) return 'changed';
      const { digest } = await digestKnownFile(copy.absolutePath, copy.stats, this.#cache);
      if (digest !== file.digest) return 'changed';
    }
    return 'current';
  }

  async #placeFolder(listing: FolderListing, folder: string): Promise<void> {
    const subfolders = new Set(listing.files.map((file) => dirname(file.path)));
    for (const subfolder of ['.', ...subfolders]) {
      await mkdir(join(folder, subfolder), { recursive: true });
    }
    await mapLimited(listing.files, CONCURRENCY, (file) =>
      this.#place(file.digest, join(folder, file.path)),
    );
  }

  async #place(digest: Digest, path: string): Promise<void> {
    const object = this.#store.objects.pathOf(digest);
    try {
      await link(object, path);
    } catch (error) {
      // No links across file systems, on some file systems at all, or too many to one file.
      const noLinks = ['EXDEV', 'EPERM', 'ENOTSUP', 'ENOSYS', 'EMLINK'];
      if (!noLinks.includes(systemErrorCode(error) ?? '')) throw error;
      await copyFile(object, path);
      if ((await hashFile(path)).digest !== digest) throw damaged(digest, '');
      await chmod(path, 0o444);
    }
  }
}

async function walkOrNothing(path: string): Promise<Awaited<ReturnType<typeof walkFolder>>> {
  try {
    return await walkFolder(path);
  } catch (error) {
    // Somebody put a link or a socket there: it is removed all the same.
    if (error instanceof DataError) return [];
    throw error;
  }
}

function damaged(digest: Digest, place: string): StoreError {
  return new StoreError({
    code: 'store/damaged',
    message: `object ${digest.slice(0, 12)} of the store is missing or damaged${place === '' ? '' : ` (${place})`}`,
    hint: 'run again: the stage that made it runs once more',
  });
}
