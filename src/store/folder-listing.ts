import type { BigIntStats } from 'node:fs';
import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { z } from 'zod';
import { DataError } from '../diagnostics/errors.ts';
import type { Digest } from '../stage/artifact.ts';
import { canonicalJson, compareCodeUnits } from './canonical-json.ts';
import { hashBytes } from './hash-file.ts';
import { mapLimited } from './map-limited.ts';
import { digestSchema } from './pipeline-lock.ts';
import { digestKnownFile, type StatCache } from './stat-cache.ts';
import { systemErrorCode } from './system-error.ts';

/** Enough to keep the disk busy, few enough that memory and open files stay small. */
const CONCURRENCY = 8;

const folderListingSchema = z.strictObject({
  format: z.literal(1),
  files: z.array(
    z.strictObject({
      /** Relative, with `/`; never leaves the folder. */
      path: z.string().refine((path) => !path.startsWith('/') && !path.split('/').includes('..')),
      digest: digestSchema,
      sizeBytes: z.int().min(0),
    }),
  ),
});

/** A folder's content: its files sorted by path. Its canonical JSON is what a folder's digest is of. */
export type FolderListing = z.infer<typeof folderListingSchema>;

export interface DigestedFolder {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly listing: FolderListing;
}

export interface WalkedFile {
  readonly path: string;
  readonly absolutePath: string;
  readonly stats: BigIntStats;
}

/**
 * Digest of a folder: names and bytes of its files. Empty folders, permissions and times do not
 * count. Files that have not changed since the cache saw them are not read.
 */
export async function digestFolder(root: string, cache: StatCache): Promise<DigestedFolder> {
  const walked = await walkFolder(root);
  const files = await mapLimited(walked, CONCURRENCY, async ({ path, absolutePath, stats }) => ({
    path,
    ...(await digestKnownFile(absolutePath, stats, cache)),
  }));
  return digestListing({ format: 1, files });
}

/** Digest and total size of a listing. */
export function digestListing(listing: FolderListing): DigestedFolder {
  const sizeBytes = listing.files.reduce((sum, file) => sum + file.sizeBytes, 0);
  return { digest: hashBytes(formatListing(listing)), sizeBytes, listing };
}

export function formatListing(listing: FolderListing): string {
  return canonicalJson(listing);
}

/** The listing in `text`, or null when it is none. */
export function parseListing(text: string): FolderListing | null {
  try {
    const parsed = folderListingSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : null;
  } catch {
    return null; // not JSON: the caller reports the object as damaged
  }
}

/**
 * Every regular file below `root`, sorted by path. Symbolic links are followed when they stay inside.
 * @throws DataError for a link that leaves the folder or dangles, a cycle, a socket, pipe or device.
 */
export async function walkFolder(root: string): Promise<WalkedFile[]> {
  const realRoot = await realpath(root);
  const files: WalkedFile[] = [];
  await walkInto({ folder: realRoot, prefix: '', ancestors: [realRoot], realRoot, files });
  return files.sort((a, b) => compareCodeUnits(a.path, b.path));
}

interface Walk {
  readonly folder: string;
  readonly prefix: string;
  /** Real paths of the folders above: one met again is a cycle of links. */
  readonly ancestors: readonly string[];
  readonly realRoot: string;
  readonly files: WalkedFile[];
}

async function walkInto(walk: Walk): Promise<void> {
  for (const entry of await readdir(walk.folder, { withFileTypes: true })) {
    const path = `${walk.prefix}${entry.name}`;
    let absolutePath = join(walk.folder, entry.name);
    let stats = await lstat(absolutePath, { bigint: true });
    if (stats.isSymbolicLink()) {
      absolutePath = await resolveInside(absolutePath, walk.realRoot);
      stats = await stat(absolutePath, { bigint: true });
    }
    if (stats.isDirectory()) {
      if (walk.ancestors.includes(absolutePath)) {
        throw refused(join(walk.folder, entry.name), 'is a symbolic link to a folder above itself');
      }
      const ancestors = [...walk.ancestors, absolutePath];
      await walkInto({ ...walk, folder: absolutePath, prefix: `${path}/`, ancestors });
    } else if (stats.isFile()) {
      walk.files.push({ path, absolutePath, stats });
    } else {
      throw refused(absolutePath, 'is neither a file nor a folder (a socket, pipe or device)');
    }
  }
}

async function resolveInside(link: string, realRoot: string): Promise<string> {
  let target: string;
  try {
    target = await realpath(link);
  } catch (error) {
    const reason = systemErrorCode(error) === 'ELOOP' ? 'leads to itself' : 'leads nowhere';
    throw refused(link, `is a symbolic link that ${reason}`, error);
  }
  if (target !== realRoot && !target.startsWith(realRoot + sep)) {
    throw refused(link, `is a symbolic link out of the folder, to ${target}`);
  }
  return target;
}

function refused(path: string, what: string, cause?: unknown): DataError {
  return new DataError({
    code: 'data/refused-file',
    message: `${path} ${what}`,
    hint: 'a folder used by a stage holds regular files, and links to files inside it',
    ...(cause === undefined ? {} : { cause }),
  });
}
