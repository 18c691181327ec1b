import { open, realpath, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { UsageError } from '../diagnostics/errors.ts';
import { dataFilesBeside } from '../onnx/model-size.ts';

export interface WrittenFile {
  /** What it is, in messages: `output`, `report`. */
  readonly what: string;
  readonly path: string;
}

/**
 * Verifies that a file can be written once there is something to write: it is no folder, it replaces none
 * of `kept`, and its folder, or the one it will be made in, takes new files. Leaves nothing behind.
 * @throws UsageError `quantize/folder-given`, `quantize/overwrites-input`, `quantize/not-writable`
 */
export async function requireWritable(
  { what, path }: WrittenFile,
  kept: readonly WrittenFile[],
): Promise<void> {
  const found = await stat(path).catch(() => null); // null: not there, as most
  if (found?.isDirectory() === true) {
    throw new UsageError({
      code: 'quantize/folder-given',
      message: `the ${what} ${path} is a folder`,
      hint: `give the path of a file, such as ${join(path, what === 'report' ? 'report.md' : 'model.int8.onnx')}`,
    });
  }
  for (const other of kept) {
    if ((await whereItLies(path)) !== (await whereItLies(other.path))) continue;
    throw new UsageError({
      code: 'quantize/overwrites-input',
      message: `the ${what} ${path} would replace the ${other.what}`,
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
  } catch (cause) {
    throw new UsageError({
      code: 'quantize/not-writable',
      message: `the ${what} ${path} cannot be written: ${reasonOf(cause)}`,
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

async function whereItLies(path: string): Promise<string> {
  return realpath(path).catch(() => resolve(path)); // not there yet
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
