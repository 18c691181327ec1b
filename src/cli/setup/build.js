import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { rmdirSync, statSync, writeFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import process from 'node:process';
import { buildFolder, projectFolder } from './project.js';
import { withProgress } from './progress.js';
import { runProgram } from './run-program.js';
import { SetupError } from './setup-error.js';

const SOURCE_FOLDERS = ['src', 'stages', 'test'];
/** Besides the sources: the settings and, by way of the lock file, the compiler's version. */
const SETTINGS = ['tsconfig.json', 'package-lock.json'];
const STAMP = join(buildFolder, '.drq-build');
const COMPILER_STATE = join(buildFolder, 'tsconfig.tsbuildinfo');
const OUTPUT_SUFFIX = /\.(?:js|js\.map|d\.ts)$/;

/** Compiles when a source, the list of sources or the settings changed since the last build. */
export async function build() {
  const sources = listSources();
  const signature = signatureOf(sources);
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === signature) return 'up-to-date';
  mkdirSync(buildFolder, { recursive: true });
  rmSync(STAMP, { force: true });
  removeOutputsWithoutSource(sources);
  await withProgress('building (tsc)', async () => {
    await compile();
    if (missingOutputs(sources).length === 0) return;
    // The compiler believes its own state: when outputs were removed by hand, it must forget.
    rmSync(COMPILER_STATE, { force: true });
    await compile();
  });
  writeFileSync(`${STAMP}.${process.pid}`, signature);
  renameSync(`${STAMP}.${process.pid}`, STAMP);
  return 'done';
}

/** Every source's path, relative to the project, in a fixed order. */
function listSources() {
  const found = SOURCE_FOLDERS.flatMap((folder) =>
    filesBelow(join(projectFolder, folder)).filter(
      (path) => path.endsWith('.ts') && !path.endsWith('.d.ts'),
    ),
  );
  return found.map((path) => relative(projectFolder, path)).sort();
}

/** Paths, sizes and times: a look at some hundred files takes milliseconds, the compiler seconds. */
function signatureOf(sources) {
  const hash = createHash('sha256');
  for (const path of [...SETTINGS, ...sources]) {
    const { size, mtimeMs } = statSync(join(projectFolder, path));
    hash.update(`${path}\0${size}\0${mtimeMs}\n`);
  }
  return hash.digest('hex');
}

async function compile() {
  const compiler = join(projectFolder, 'node_modules', 'typescript', 'bin', 'tsc');
  const { code, output } = await runProgram(process.execPath, [compiler, '-p', '.'], {
    cwd: projectFolder,
  });
  if (code !== 0) {
    throw new SetupError('the build failed', 'mend what the compiler says above', output.trimEnd());
  }
}

/** A removed source must not live on as a compiled test or as a module that still resolves. */
function removeOutputsWithoutSource(sources) {
  const known = new Set(sources.map(stemOf));
  for (const folder of SOURCE_FOLDERS) {
    const outputs = join(buildFolder, folder);
    for (const path of filesBelow(outputs)) {
      const stem = relative(buildFolder, path).replace(OUTPUT_SUFFIX, '');
      if (!known.has(stem)) rmSync(path, { force: true });
    }
    removeEmptyFolders(outputs);
  }
}

function missingOutputs(sources) {
  return sources.filter((path) => !existsSync(join(buildFolder, `${stemOf(path)}.js`)));
}

function stemOf(source) {
  return source.replace(/\.ts$/, '');
}

function filesBelow(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = folder + sep + entry.name;
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : filesBelow(path);
    return [path];
  });
}

function removeEmptyFolders(folder) {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) removeEmptyFolders(join(folder, entry.name));
  }
  if (readdirSync(folder).length === 0) rmdirSync(folder);
}
