import type { Stats } from 'node:fs';
import { open, readlink, realpath, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { listImageFiles } from '../data/list-image-files.ts';
import { UsageError } from '../diagnostics/errors.ts';
import { dataFilesBeside } from '../onnx/model-size.ts';

export interface WrittenFile {
  /** What it is, in messages: `output`, `report`. */
  readonly what: string;
  readonly path: string;
}

/**
 * Verifies that a file can be written once there is something to write: what is there is a regular file
 * and none of `kept`, and its folder, or the one it will be made in, takes new files. Leaves nothing
 * behind. Returns the path to write: where links lead.
 * @throws UsageError `quantize/folder-given`, `quantize/not-a-file`, `quantize/overwrites-input`, `quantize/not-writable`
 */
export async function requireWritable(
  { what, path: given }: WrittenFile,
  kept: readonly WrittenFile[],
): Promise<string> {
  const found = await stat(given).catch(() => null); // null: not there, as most
  if (found !== null && !found.isFile()) throw noFile(what, given, found);
  const path = await whereItLies(given);
  for (const other of kept) {
    if (path !== (await whereItLies(other.path))) continue;
    throw new UsageError({
      code: 'quantize/overwrites-input',
      message: `the ${what} ${given} would replace the ${other.what}`,
      hint: `give another path with --${what}`,
    });
  }
  const folder = await nearestFolder(dirname(resolve(path)));
  const probe = join(folder, `.${basename(path)}.${process.pid}.probe`);
  try {
    // Asking for permissions is not enough: a file system may be read-only or take no files at all.
    await (await open(probe, 'wx')).close();
    await rm(probe);
    if (found !== null) await (await open(path, 'r+')).close();
    return path;
  } catch (cause) {
    throw new UsageError({
      code: 'quantize/not-writable',
      message: `the ${what} ${given} cannot be written: ${reasonOf(cause)}`,
      hint: 'give a path where you may write, or change the permissions',
      cause,
    });
  }
}

/**
 * The files of a model that writing `path` could replace: its own, and where `path` is there already,
 * those beside it that hold its weights.
 */
export async function modelFiles(modelPath: string, path: string): Promise<WrittenFile[]> {
  const own = { what: 'model', path: modelPath };
  const isThere = (await stat(path).catch(() => null))?.isFile() === true;
  if (!isThere || (await whereItLies(path)) === (await whereItLies(modelPath))) return [own];
  const files = await dataFilesBeside(modelPath);
  return [own, ...files.map((file) => ({ what: "model's weights", path: file }))];
}

/** The photographs of a folder that writing `path` could replace: none where nothing is there yet. */
export async function photographFiles(folder: string, path: string): Promise<WrittenFile[]> {
  const isThere = (await stat(path).catch(() => null))?.isFile() === true;
  const files = isThere ? await listImageFiles(folder) : [];
  return files.map((file) => ({ what: `photograph ${file}`, path: join(folder, file) }));
}

/** More than any system follows; a circle of links ends there. */
const MOST_LINKS = 40;

/** Where a path leads once its links are followed; what is not there yet may have links to it. */
async function whereItLies(path: string, linksLeft = MOST_LINKS): Promise<string> {
  const real = await realpath(path).catch(() => null);
  if (real !== null) return real;
  const folder = dirname(resolve(path));
  const realFolder = await realpath(folder).catch(() => folder);
  const place = join(realFolder, basename(path));
  const link = await readlink(place).catch(() => null); // null: no link
  if (link === null || linksLeft === 0) return place;
  return whereItLies(resolve(realFolder, link), linksLeft - 1);
}

function noFile(what: string, path: string, found: Stats): UsageError {
  if (found.isDirectory()) {
    return new UsageError({
      code: 'quantize/folder-given',
      message: `the ${what} ${path} is a folder`,
      hint: `give the path of a file, such as ${join(path, what === 'report' ? 'report.md' : 'model.int8.onnx')}`,
    });
  }
  return new UsageError({
    code: 'quantize/not-a-file',
    message: `the ${what} ${path} is ${kindOf(found)}, not a regular file`,
    hint: 'give the path of a file; what is made can be copied from there',
  });
}

function kindOf(found: Stats): string {
  if (found.isFIFO()) return 'a pipe';
  return found.isSocket() ? 'a socket' : 'a device';
}

/** The folder itself, or what there is of the way to it, which may be a file that is in the way. */
async function nearestFolder(folder: string): Promise<string> {
  const found = await stat(folder).catch(() => null); // null: it will be made
  return found === null && folder !== dirname(folder) ? nearestFolder(dirname(folder)) : folder;
}

/** The system's own words would name the file that was only tried. */
function reasonOf(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
  const reasons: Readonly<Record<string, string>> = {
    ENOTDIR: 'a file stands where its folder should be',
    EACCES: 'permission denied',
    EPERM: 'not permitted',
    EROFS: 'the file system is read-only',
    ENOSPC: 'the disk is full',
    ENOENT: 'its folder takes no files',
  };
  return reasons[code] ?? code;
}
