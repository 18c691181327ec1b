import type { BigIntStats } from 'node:fs';
import { lstat, readFile, stat } from 'node:fs/promises';
import { z } from 'zod';
import { DataError, StoreError } from '../diagnostics/errors.ts';
import type { Digest } from '../stage/artifact.ts';
import { writeFileAtomic } from './atomic-write.ts';
import { hashFile, type HashedFile } from './hash-file.ts';

const FORMAT = 1;
/** Bounds the file (about 150 bytes an entry); the entries used longest ago go first. */
const MAX_ENTRIES = 300_000;
/**
 * A file changed this recently may change again without its time stamps changing (git's "racily
 * clean" entries; two seconds is the coarsest granularity of a common file system, FAT's).
 */
const SETTLED_AFTER_MS = 2000;

const fileSchema = z.object({
  format: z.literal(FORMAT),
  /** [`dev:ino`, `size:mtimeNs:ctimeNs`, digest], the one used longest ago first. */
  entries: z.array(z.tuple([z.string(), z.string(), z.string().regex(/^[0-9a-f]{64}$/)])),
});

/**
 * Remembers the digest of files that have not changed since, so that they are not read again. Keyed
 * by inode, so that an object of the store and its hard-linked working copies share one entry. It
 * is only ever a shortcut: without it everything is hashed again.
 */
export class StatCache {
  readonly #path: string;
  readonly #entries: Map<string, { readonly state: string; readonly digest: Digest }>;
  #changed = false;

  private constructor(
    path: string,
    entries: Map<string, { readonly state: string; readonly digest: Digest }>,
  ) {
    this.#path = path;
    this.#entries = entries;
  }

  static async open(path: string): Promise<StatCache> {
    const entries = new Map<string, { readonly state: string; readonly digest: Digest }>();
    for (const [inode, state, digest] of await readEntries(path)) {
      entries.set(inode, { state, digest: digest as Digest }); // checked by the schema
    }
    return new StatCache(path, entries);
  }

  /** The digest of the file these stats belong to, when it was hashed in exactly this state. */
  lookup(stats: BigIntStats): Digest | undefined {
    const inode = inodeOf(stats);
    const entry = this.#entries.get(inode);
    if (entry?.state !== stateOf(stats)) return undefined;
    this.#entries.delete(inode); // set again at the end: the map's order is the order of use
    this.#entries.set(inode, entry);
    return entry.digest;
  }

  /** For a file that only the store writes; there the time stamps cannot be racy. */
  record(stats: BigIntStats, digest: Digest): void {
    this.#entries.set(inodeOf(stats), { state: stateOf(stats), digest });
    this.#changed = true;
  }

  /** For a file of the user's: remembered only once it has been left alone for a while. */
  recordSettled(stats: BigIntStats, digest: Digest): void {
    const changedMs = Number(
      (stats.mtimeNs > stats.ctimeNs ? stats.mtimeNs : stats.ctimeNs) / 1_000_000n,
    );
    if (Date.now() - changedMs >= SETTLED_AFTER_MS) this.record(stats, digest);
  }

  /** Writes the cache when it has changed. */
  async save(): Promise<void> {
    if (!this.#changed) return;
    const entries = [...this.#entries]
      .slice(-MAX_ENTRIES)
      .map(([inode, { state, digest }]) => [inode, state, digest]);
    try {
      const text = `${JSON.stringify({ format: FORMAT, entries })}\n`;
      await writeFileAtomic(this.#path, text, 'disposable');
    } catch (error) {
      // A full disk or a read-only folder costs the shortcut, never the run.
      if (!(error instanceof StoreError)) throw error;
    }
    this.#changed = false;
  }
}

/** Digest of a file of the user's, read only when it may have changed. */
export async function digestFile(path: string, cache: StatCache): Promise<HashedFile> {
  const before = await stat(path, { bigint: true });
  return digestKnownFile(path, before, cache);
}

/**
 * The same for a file whose stats are at hand.
 * @throws DataError `data/changed-while-read` when the file is being written.
 */
export async function digestKnownFile(
  path: string,
  before: BigIntStats,
  cache: StatCache,
): Promise<HashedFile> {
  const known = cache.lookup(before);
  if (known !== undefined) return { digest: known, sizeBytes: Number(before.size) };
  const hashed = await hashFile(path);
  const after = await lstat(path, { bigint: true });
  const target = after.isSymbolicLink() ? await stat(path, { bigint: true }) : after;
  if (inodeOf(before) !== inodeOf(target) || stateOf(before) !== stateOf(target)) {
    throw new DataError({
      code: 'data/changed-while-read',
      message: `${path} changed while it was being read`,
      hint: 'wait until it is written completely, then run again',
    });
  }
  cache.recordSettled(before, hashed.digest);
  return hashed;
}

function inodeOf(stats: BigIntStats): string {
  return `${stats.dev}:${stats.ino}`;
}

function stateOf(stats: BigIntStats): string {
  return `${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}`;
}

async function readEntries(path: string): Promise<readonly [string, string, string][]> {
  try {
    return fileSchema.parse(JSON.parse(await readFile(path, 'utf8'))).entries;
  } catch {
    // Absent, damaged or of another format: a cache may be forgotten at any time.
    return [];
  }
}
