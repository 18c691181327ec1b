import { mkdir, open } from 'node:fs/promises';
import { DrqError, InterruptedError } from '../../diagnostics/errors.ts';
import { createBudget, type ArchiveLimits, type ExtractionBudget } from './archive-limits.ts';
import { invalidArchive } from './entry-path.ts';
import { extractTar } from './extract-tar.ts';
import { extractZip } from './extract-zip.ts';

export interface ExtractionContext {
  /** Path of the archive. */
  readonly archive: string;
  /** How messages call it. */
  readonly shownName: string;
  /** Where to unpack it. */
  readonly folder: string;
  readonly budget: ExtractionBudget;
  readonly signal: AbortSignal;
  /** Takes the paths of entries that are not unpacked. */
  readonly skipped: string[];
}

type ArchiveFormat = 'zip' | 'gzip' | 'tar';

/** Faults of the disk, not of the archive. */
const DISK_ERRORS = new Set(['ENOSPC', 'EDQUOT', 'EACCES', 'EPERM', 'EROFS', 'EMFILE', 'EIO']);

/**
 * Unpacks the images, label files and folders of a zip, tar or tar.gz into `folder`, and returns the paths
 * of the files that are left packed. Refused as a whole when an
 * entry would lie outside it, is a link or a device, or when there are more entries or bytes than
 * allowed.
 *
 * @throws DataError `data/invalid-archive`, `data/unsafe-archive`, `data/archive-too-large`
 */
export async function extractArchive(
  request: Omit<ExtractionContext, 'budget' | 'skipped'> & { readonly limits: ArchiveLimits },
): Promise<readonly string[]> {
  const { archive, shownName, folder, limits, signal } = request;
  const format = await detectFormat(archive);
  if (format === null) throw invalidArchive(shownName, 'it is neither a zip nor a tar file');
  await mkdir(folder, { recursive: true });
  const budget = createBudget(shownName, limits);
  const context: ExtractionContext = { archive, shownName, folder, budget, signal, skipped: [] };
  try {
    if (format === 'zip') await extractZip(context);
    else await extractTar(context, format === 'gzip');
    return context.skipped;
  } catch (error) {
    if (signal.aborted) throw new InterruptedError();
    if (error instanceof DrqError || isDiskError(error)) throw error;
    throw invalidArchive(shownName, error instanceof Error ? error.message : String(error), error);
  }
}

/** By the first bytes: names of downloaded files say little. */
async function detectFormat(path: string): Promise<ArchiveFormat | null> {
  const file = await open(path, 'r');
  try {
    const head = Buffer.alloc(263);
    await file.read(head, 0, head.length, 0);
    if (head[0] === 0x50 && head[1] === 0x4b) return 'zip';
    if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
    return head.toString('latin1', 257, 262) === 'ustar' ? 'tar' : null;
  } finally {
    await file.close();
  }
}

function isDiskError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && DISK_ERRORS.has(String(error.code));
}
