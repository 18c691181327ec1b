import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { StoreError } from '../diagnostics/errors.ts';

/** Runs `action`; a full disk or a folder that cannot be written becomes one clear StoreError. */
export async function withStoreErrors<T>(
  path: string,
  action: () => Promise<T>,
  neededBytes?: number,
): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw await asStoreError(error, path, neededBytes);
  }
}

/** The StoreError that explains a system error at `path`; any other error is returned unchanged. */
export async function asStoreError(
  error: unknown,
  path: string,
  neededBytes?: number,
): Promise<unknown> {
  switch (systemErrorCode(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return diskFull(error, path, neededBytes);
    case 'EROFS':
    case 'EACCES':
    case 'EPERM':
      return new StoreError({
        code: 'store/not-writable',
        message: `${path} cannot be written: ${reasonOf(error)}`,
        hint: 'give the current user the right to write there, or choose another project root with --root',
        cause: error,
      });
    case 'ENOTDIR':
    case 'EEXIST':
    case 'EISDIR':
      return new StoreError({
        code: 'store/in-the-way',
        message: `${path} cannot be written: something of another form (file or folder) is in its place`,
        hint: 'move it away and run again',
        cause: error,
      });
    default:
      return error;
  }
}

/** How Node words an error of the operating system: `ENOENT: no such file or directory, open 'x'`. */
const SYSTEM_MESSAGE = /^(?<code>E[A-Z0-9]+): [^,]+, \w+(?: '(?<path>[^']*)')?/;

/** `ENOENT`, `ENOSPC` …, or undefined when it is no error of the operating system. */
export function systemErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if ('code' in error) return typeof error.code === 'string' ? error.code : undefined;
  // An error that came out of a worker thread is a copy with the message alone.
  return SYSTEM_MESSAGE.exec(error.message)?.groups?.['code'];
}

/** The path a system error is about, where it tells. */
export function pathOfError(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if ('path' in error) return typeof error.path === 'string' ? error.path : undefined;
  return SYSTEM_MESSAGE.exec(error.message)?.groups?.['path'];
}

/** There is no such file, nor could there be one (a file stands in place of a folder above it). */
export function isAbsent(error: unknown): boolean {
  const code = systemErrorCode(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

async function diskFull(error: unknown, path: string, neededBytes?: number): Promise<StoreError> {
  const freeBytes = await freeBytesAt(path);
  const figures = [
    ...(neededBytes === undefined ? [] : [`${showBytes(neededBytes)} needed`]),
    ...(freeBytes === undefined ? [] : [`${showBytes(freeBytes)} free`]),
  ];
  return new StoreError({
    code: 'store/disk-full',
    message: `the disk is full: ${path} cannot be written${figures.length === 0 ? '' : ` (${figures.join(', ')})`}`,
    hint: 'free some space and run again: finished stages are kept, nothing half-written is used',
    cause: error,
  });
}

/** Free bytes of the disk below the nearest folder that exists. */
export async function freeBytesAt(path: string): Promise<number | undefined> {
  for (let folder = path; ; folder = dirname(folder)) {
    try {
      const { bavail, bsize } = await statfs(folder);
      return bavail * bsize;
    } catch (error) {
      // The path itself need not exist yet; anything else only costs the figure in a message.
      if (systemErrorCode(error) !== 'ENOENT' || folder === dirname(folder)) return undefined;
    }
  }
}

/** `1.5 GB`, in the decimal units that disk makers and `df -H` use. */
export function showBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit] ?? ''}`;
}

function reasonOf(error: unknown): string {
  switch (systemErrorCode(error)) {
    case 'EROFS':
      return 'the file system is read-only';
    case 'EACCES':
      return 'permission denied';
    default:
      return 'not permitted';
  }
}
