import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { projectFolder } from './project.js';
import { withProgress } from './progress.js';
import { lastLines, npmCommand, runProgram } from './run-program.js';
import { SetupError } from './setup-error.js';

const LOCK = join(projectFolder, 'package-lock.json');
const MODULES = join(projectFolder, 'node_modules');
/** Inside node_modules, so that whoever removes or replaces that folder removes the stamp too. */
const STAMP = join(MODULES, '.drq-packages');

/** Brings node_modules to what package-lock.json says. */
export async function installPackages() {
  const digest = createHash('sha256').update(readFileSync(LOCK)).digest('hex');
  if (readIfThere(STAMP) === digest) {
    linkOwnCommand();
    return 'up-to-date';
  }
  const fresh = !holdsLockedPackages();
  if (fresh) await withProgress('installing packages (npm ci)', runNpmCi);
  linkOwnCommand();
  writeFileSync(`${STAMP}.${process.pid}`, digest);
  renameSync(`${STAMP}.${process.pid}`, STAMP);
  return fresh ? 'done' : 'up-to-date';
}

/**
 * npm ends an installation by writing what it holds into node_modules/.package-lock.json. Where
 * someone else's `npm install` has done the work, doing it again would only cost time.
 */
function holdsLockedPackages() {
  const installed = readIfThere(join(MODULES, '.package-lock.json'));
  if (installed === undefined) return false;
  const locked = Object.entries(JSON.parse(readFileSync(LOCK, 'utf8')).packages);
  const held = JSON.parse(installed).packages;
  return locked.every(([path, { version, optional }]) => {
    if (path === '') return true;
    // Optional packages may be for other platforms, except the one that training needs.
    if (held[path] === undefined) return optional === true && !path.endsWith('/tfjs-node');
    return held[path].version === version;
  });
}

/**
 * Without install scripts: the ones of two packages download from hosts of their own and fail, or
 * have their package dropped, where those cannot be reached; what they do is done here.
 */
async function runNpmCi() {
  const [program, ...first] = npmCommand();
  const result = await runProgram(
    program,
    [
      ...first,
      'ci',
      '--ignore-scripts',
      '--include=dev',
      '--include=optional',
      '--no-audit',
      '--no-fund',
    ],
    { cwd: projectFolder },
  );
  if (result.code === 0) return;
  throw new SetupError(
    result.startError === undefined
      ? '`npm ci` failed'
      : `npm cannot be started (${result.startError.code})`,
    'check the network and the registry that npm uses, then run the command again',
    lastLines(result.output),
  );
}

/** `npx drq` finds the command here, in every folder of the checkout; npm links only dependencies. */
function linkOwnCommand() {
  const link = join(MODULES, '.bin', 'drq');
  // On Windows npm makes command files instead of links, and `npx` finds a package's own command.
  if (process.platform === 'win32' || isThere(link)) return;
  mkdirSync(join(MODULES, '.bin'), { recursive: true });
  const aside = `${link}.${process.pid}`;
  rmSync(aside, { force: true });
  symlinkSync(join('..', '..', 'src', 'cli', 'drq.js'), aside);
  renameSync(aside, link);
}

function isThere(link) {
  return lstatSync(link, { throwIfNoEntry: false }) !== undefined;
}

function readIfThere(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}
