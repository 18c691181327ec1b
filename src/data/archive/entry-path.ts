import { posix } from 'node:path';
import { DataError } from '../../diagnostics/errors.ts';
import { hasImageExtension } from '../list-image-files.ts';

/**
 * The path of an archive's entry below the folder it is unpacked to.
 * @throws DataError `data/unsafe-archive` when it would lie outside
 */
export function safeEntryPath(archive: string, name: string): string {
  const slashed = name.replaceAll('\\', '/');
  const path = posix.normalize(slashed);
  const isAbsolute = slashed.startsWith('/') || /^[A-Za-z]:/.test(slashed);
  if (isAbsolute || path === '..' || path.startsWith('../') || path.includes('\0')) {
    throw unsafeEntry(archive, name, 'leaves the folder it is unpacked to');
  }
  return path;
}

/** Of the files only images and label files are unpacked; all else in an archive is of no use here. */
export function isWantedEntry(path: string): boolean {
  return hasImageExtension(path) || /\.csv$/i.test(path);
}

export function unsafeEntry(archive: string, name: string, reason: string): DataError {
  return new DataError({
    code: 'data/unsafe-archive',
    message: `${archive}: entry "${name}" ${reason}`,
    hint: 'nothing of it was used; unpack and check it yourself, then give the folder',
  });
}

export function invalidArchive(archive: string, reason: string, cause?: unknown): DataError {
  return new DataError({
    code: 'data/invalid-archive',
    message: `${archive} cannot be unpacked: ${reason}`,
    hint: 'expected a complete zip, tar or tar.gz file',
    ...(cause === undefined ? {} : { cause }),
  });
}
