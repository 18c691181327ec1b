import { cp, lstat, readdir, readlink, realpath, rename, rm } from 'node:fs/promises';
import { isAbsolute, join, relative, sep } from 'node:path';
import { StageError } from '../../src/diagnostics/errors.ts';
import { ownValue } from '../../src/diagnostics/own-value.ts';

export interface OutputPlaces {
  /** Absolute path each output has to end up at; folders exist already. */
  readonly outputs: Readonly<Record<string, string>>;
  /** Of outputs the program writes to a path of its own, relative to `workingFolder`. */
  readonly declaredPaths: Readonly<Record<string, string>>;
  /** Outputs whose path the program was told. */
  readonly mentioned: ReadonlySet<string>;
  readonly workingFolder: string;
}

/** Before anything runs: @throws StageError when the program cannot know where an output belongs. */
export function requireKnownPlaces(places: OutputPlaces): void {
  for (const name of Object.keys(places.outputs)) {
    if (places.mentioned.has(name)) continue;
    const path = ownValue(places.declaredPaths, name);
    if (path === undefined) {
      throw new StageError({
        code: 'command/unplaced-output',
        message: `output "${name}" has no path, and no argument or variable holds \${outputs.${name}}: the program cannot know where to write it`,
        hint: `write \${outputs.${name}} into the arguments, or give the output a "path" below the working folder`,
      });
    }
    if (isAbsolute(path) || isOutside(path)) throw leavesFolder(name, path);
  }
}

/** After the program: every output at its place. @throws StageError when one is missing. */
export async function collectOutputs(places: OutputPlaces): Promise<void> {
  for (const [name, target] of Object.entries(places.outputs)) {
    const path = ownValue(places.declaredPaths, name);
    if (!places.mentioned.has(name) && path !== undefined) {
      await moveOutput({ name, path, target, workingFolder: places.workingFolder });
    } else {
      await requireWritten(name, target);
    }
  }
}

async function moveOutput(output: {
  readonly name: string;
  readonly path: string;
  readonly target: string;
  readonly workingFolder: string;
}): Promise<void> {
  const { name, path, target, workingFolder } = output;
  const source = join(workingFolder, path);
  const found = await lstat(source).catch(ignoreMissing);
  if (found === null) throw missing(name, `the program wrote no "${path}" into its working folder`);
  const wanted = await lstat(target).catch(ignoreMissing);
  // A link is followed once, here: links must neither enter the store nor lead out of the folder.
  const real = await realpath(source).catch(ignoreMissing);
  if (real === null) {
    throw missing(
      name,
      `"${path}" is a link to ${await readlink(source)}, where there is nothing`,
      COPY_HINT,
    );
  }
  if (isOutside(relative(await realpath(workingFolder), real))) {
    throw linksOutside(name, path, real);
  }
  const isFolder = (await lstat(real)).isDirectory();
  const isFolderWanted = wanted?.isDirectory() ?? false;
  if (isFolder !== isFolderWanted) {
    const shown = (folder: boolean): string => (folder ? 'a folder' : 'a file');
    const reason = `"${path}" is ${shown(isFolder)}, expected ${shown(isFolderWanted)}`;
    if (!isFolder) throw missing(name, reason);
    const declared = `path: ${path.replace(/\/*$/, '/')}`;
    throw missing(name, reason, `for a folder write \`${declared}\` or \`kind: folder\``);
  }
  if (isFolder) await rm(target, { recursive: true });
  if (real === source || !found.isSymbolicLink()) await rename(source, target);
  else await cp(real, target, { recursive: true });
  await requireWritten(name, target);
}

async function requireWritten(name: string, target: string): Promise<void> {
  const found = await lstat(target).catch(ignoreMissing);
  if (found === null) throw missing(name, `nothing was written to ${target}`);
  if (found.isDirectory() && (await readdir(target)).length === 0) {
    throw missing(name, `the folder ${target} is empty`);
  }
}

function ignoreMissing(error: unknown): null {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT' || code === 'ENOTDIR') return null;
  throw error;
}

function isOutside(path: string): boolean {
  const normalized = join(path);
  return normalized === '..' || normalized.startsWith(`..${sep}`) || isAbsolute(normalized);
}

function leavesFolder(name: string, path: string): StageError {
  return new StageError({
    code: 'command/output-outside',
    message: `the path "${path}" of output "${name}" leaves the program's working folder`,
    hint: 'give a relative path without ".."',
  });
}

const COPY_HINT = 'let the program copy the file or folder to that place instead of linking to it';

function linksOutside(name: string, path: string, real: string): StageError {
  return new StageError({
    code: 'command/output-outside',
    message: `the path "${path}" of output "${name}" is a link to ${real}, outside the program's working folder`,
    hint: COPY_HINT,
  });
}

function missing(
  name: string,
  reason: string,
  hint = 'compare what the program writes with the outputs of the stage',
): StageError {
  return new StageError({
    code: 'command/missing-output',
    message: `the program ended well, but output "${name}" is missing: ${reason}`,
    hint,
  });
}
