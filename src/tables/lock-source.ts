import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { isAbsolute, join, posix, relative, resolve } from 'node:path';
import { execa } from 'execa';
import { DataError, UsageError } from '../diagnostics/errors.ts';
import { parsePipelineLock } from '../store/lock-file.ts';
import type { PipelineLock } from '../store/pipeline-lock.ts';

const LOCK_NAME = 'lock.yaml';

const NAME_A_LOCK =
  'name experiments/PIPELINE, its lock.yaml, or one of them in a git revision (REVISION:PATH)';

/**
 * The locks that one side of `drq diff` names: a lock file, an experiments folder (of one pipeline or
 * of all), or with a git revision before it (`HEAD~1:experiments/x`; a bare revision means all locks there).
 * @throws UsageError `diff/not-found` when it names nothing, DataError `lock/invalid`
 */
export async function readLocks(
  source: string,
  cwd: string,
  signal: AbortSignal,
): Promise<PipelineLock[]> {
  // As the system reads it: `HEAD:..` in `HEAD:../..` must be a folder, and normalizing would drop it.
  const isOnDisk = existsSync(isAbsolute(source) ? source : `${cwd}/${source}`);
  if (isOnDisk) return readFromDisk(resolve(cwd, source), source, cwd);
  return readFromGit(source, cwd, signal);
}

async function readFromDisk(path: string, source: string, cwd: string): Promise<PipelineLock[]> {
  const files = (await stat(path)).isFile() ? [path] : await lockFilesIn(path);
  if (files.length === 0) throw noLocks(source);
  return Promise.all(
    files.map(async (file) =>
      parsePipelineLock(await readFile(file, 'utf8'), relative(cwd, file) || file, NAME_A_LOCK),
    ),
  );
}

/** Of one pipeline's folder, of `experiments/`, or of a project that has it. */
async function lockFilesIn(folder: string): Promise<string[]> {
  const own = join(folder, LOCK_NAME);
  if (existsSync(own)) return [own];
  const experiments = join(folder, 'experiments');
  const parent = existsSync(experiments) ? experiments : folder;
  const names = (await readdir(parent)).sort();
  return names.map((name) => join(parent, name, LOCK_NAME)).filter((path) => existsSync(path));
}

async function readFromGit(
  source: string,
  cwd: string,
  signal: AbortSignal,
): Promise<PipelineLock[]> {
  const colon = source.indexOf(':');
  const revision = colon === -1 ? source : source.slice(0, colon);
  const git = async (...parts: string[]): Promise<string | null> => {
    const result = await execa('git', parts, {
      cwd,
      reject: false,
      stripFinalNewline: false,
      cancelSignal: signal,
    });
    signal.throwIfAborted();
    return result.exitCode === 0 ? result.stdout : null;
  };
  // `--end-of-options`: a revision that begins with a dash is never read as a flag.
  const verified = await git(
    'rev-parse',
    '--verify',
    '--quiet',
    '--end-of-options',
    `${revision}^{commit}`,
  );
  if (revision === '' || verified === null) throw notFound(source, revision, colon !== -1);
  const commit = verified.trim();
  const prefix = ((await git('rev-parse', '--show-prefix')) ?? '').replace(/\n$/, '');
  const path = colon === -1 ? null : pathInTree(source.slice(colon + 1), prefix);
  const listing = await git('ls-tree', '-r', '-z', '--name-only', '--full-tree', commit);
  const files = (listing ?? '').split('\0').filter((file) => isWanted(file, path));
  if (files.length === 0) throw noLocks(source);
  return Promise.all(
    files.map(async (file) => {
      const text = await git('cat-file', 'blob', `${commit}:${file}`);
      if (text === null) throw noLocks(source);
      return parsePipelineLock(text, `${revision}:${file}`, NAME_A_LOCK);
    }),
  );
}

/**
 * Paths in a tree are relative to the top of the repository, whatever the working folder is; with a leading
 * `./` or `../` to that folder, which `prefix` names (gitrevisions(7), `<rev>:<path>`).
 */
function pathInTree(path: string, prefix: string): string {
  const isRelative = /^\.\.?(?:\/|$)/.test(path);
  const inTree = isRelative ? posix.join(prefix, path) : path;
  return inTree === '.' || inTree === './' ? '' : inTree.replace(/\/+$/, '');
}

function isWanted(file: string, path: string | null): boolean {
  if (path === null || path === '') return /(^|\/)experiments\/[^/]+\/lock\.yaml$/.test(file);
  if (file === path) return true;
  if (!file.startsWith(`${path}/`)) return false;
  return /^(?:(?:.+\/)?experiments\/)?(?:[^/]+\/)?lock\.yaml$/.test(file.slice(path.length + 1));
}

function notFound(source: string, revision: string, hasColon: boolean): UsageError {
  return new UsageError({
    code: 'diff/not-found',
    message: hasColon
      ? `"${source}": git knows no revision "${revision}" here`
      : `"${source}" is no lock file, no folder and no git revision`,
    hint: 'name experiments/PIPELINE, a lock.yaml, a revision such as HEAD~1, or REVISION:experiments/PIPELINE',
  });
}

function noLocks(source: string): DataError {
  return new DataError({
    code: 'diff/no-locks',
    message: `"${source}" holds no ${LOCK_NAME}`,
    hint: 'a lock is written by `drq run` to experiments/PIPELINE/lock.yaml; name that folder',
  });
}
