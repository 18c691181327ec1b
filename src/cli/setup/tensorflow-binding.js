import { accessSync, constants, copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { compileBinding } from './compile-binding.js';
import {
  TENSORFLOW_VERSION,
  fetchLibtensorflow,
  hasLibtensorflow,
  libtensorflowFolder,
} from './libtensorflow.js';
import { installTheirWay } from './package-install.js';
import { say, withProgress } from './progress.js';
import { readZip } from './read-zip.js';
import { lastLines, npmCommand, runProgram } from './run-program.js';
import { SetupError } from './setup-error.js';
import { fillCacheFolder, userCacheFolder } from './user-cache.js';

export const TFJS_VERSION = '4.22.0';
const PACKAGE = '@tensorflow/tfjs-node';
/** Node-API 8 is the newest that tfjs-node's binding is made for; every newer Node has it. */
const BINDING = join('lib', 'napi-v8', 'tfjs_binding.node');
const STAMP = join('lib', 'napi-v8', 'drq-binding.json');

/**
 * Makes the TensorFlow binding loadable; `missing` when that cannot be, after saying why:
 * everything but training works without it, so the set-up goes on.
 */
export async function setUpTensorflow() {
  try {
    // The nearest one that can be used: our own, unless a global installation belongs to root.
    const usable = findPackages().find((path) => isReady(path) || isWritable(path));
    if (usable !== undefined && isReady(usable)) return 'up-to-date';
    await makeReady(usable ?? (await installPackage()));
    return 'done';
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(`setup: no TensorFlow binding: ${error.message}`);
    if (error.detail !== '') say(error.detail);
    say(`  hint: ${error.hint}`);
    say('  everything but `train` works without it');
    return 'missing';
  }
}

/** The package's folders: in our own node_modules, and where `drq setup` put it for the user. */
function findPackages() {
  const places = [import.meta.url, join(userPackageFolder(), 'package.json')];
  return places.flatMap((place) => {
    try {
      return [dirname(createRequire(place).resolve(`${PACKAGE}/package.json`))];
    } catch (error) {
      if (error.code === 'MODULE_NOT_FOUND') return [];
      throw error;
    }
  });
}

/** A global installation often belongs to root. */
function isWritable(packagePath) {
  try {
    accessSync(packagePath, constants.W_OK);
    return true;
  } catch {
    // Whatever forbids it (owner, read-only file system), the place cannot be used.
    return false;
  }
}

function userPackageFolder() {
  return join(userCacheFolder(), `tfjs-node-${TFJS_VERSION}`);
}

/**
 * npm drops an optional dependency whose own install script fails, as this one's does where its
 * host does not answer. A global installation may be read-only, so the package goes to the user.
 */
async function installPackage() {
  const [program, ...first] = npmCommand();
  rmSync(userPackageFolder(), { recursive: true, force: true });
  await withProgress(`installing ${PACKAGE} ${TFJS_VERSION}`, () =>
    fillCacheFolder(`tfjs-node-${TFJS_VERSION}`, async (aside) => {
      const result = await runProgram(program, [
        ...first,
        'install',
        '--ignore-scripts',
        '--no-audit',
        '--no-fund',
        '--no-save',
        '--no-package-lock',
        '--global=false',
        `--prefix=${aside}`,
        `${PACKAGE}@${TFJS_VERSION}`,
      ]);
      if (result.code !== 0) {
        throw new SetupError(
          `npm could not install ${PACKAGE}@${TFJS_VERSION}`,
          'check the network and the registry that npm uses, then run `drq setup`',
          lastLines(result.output, 6),
        );
      }
    }),
  );
  const packagePath = findPackages().find(isWritable);
  if (packagePath === undefined) {
    throw new SetupError(`npm did not install ${PACKAGE}@${TFJS_VERSION}`, 'run `drq setup` again');
  }
  return packagePath;
}

function isReady(packagePath) {
  try {
    const stamp = JSON.parse(readFileSync(join(packagePath, STAMP), 'utf8'));
    return (
      statSync(join(packagePath, BINDING)).size === stamp.bindingBytes &&
      existsSync(stamp.libraryFolder)
    );
  } catch {
    // No stamp, a damaged one or a missing file all mean the same: set it up.
    return false;
  }
}

async function makeReady(packagePath) {
  if (await takeBinding(packagePath, 'package', join(packagePath, 'deps', 'lib'))) return;
  removeBinding(packagePath);

  const fromWheel = process.platform === 'linux' && process.arch === 'x64';
  const cached = join(userCacheFolder(), cachedBindingName(), 'tfjs_binding.node');
  if (fromWheel && hasLibtensorflow() && existsSync(cached)) {
    if (await linkBinding(packagePath, cached)) return;
    // Compiled for another machine or broken: make it anew.
    rmSync(dirname(cached), { recursive: true, force: true });
  }

  const problem = await installTheirWay(packagePath);
  if (problem === undefined) {
    if (await takeBinding(packagePath, 'package', join(packagePath, 'deps', 'lib'))) return;
    say('setup: the binding that the package brought does not load');
  } else {
    say(`setup: ${PACKAGE}'s own download: ${problem}`);
  }
  removeBinding(packagePath);
  if (!fromWheel) {
    throw new SetupError(
      `${PACKAGE}'s own download did not work, and on ${process.platform} ${process.arch} there ` +
        'is no other way (the way by the TensorFlow wheel is for Linux x64)',
      'run `npm run setup` where the host of the package can be reached',
    );
  }
  await makeFromWheel(packagePath, cached);
}

async function makeFromWheel(packagePath, cached) {
  const self = fileURLToPath(import.meta.url);
  const tensorflowFolder = await fetchLibtensorflow((file, targetPath, take) =>
    readZip(self, file, targetPath, take),
  );
  if (!existsSync(cached)) {
    await withProgress('compiling the TensorFlow binding', () =>
      fillCacheFolder(cachedBindingName(), (aside) =>
        compileBinding({ packagePath, tensorflowFolder, output: join(aside, 'tfjs_binding.node') }),
      ),
    );
  }
  if (!(await linkBinding(packagePath, cached))) {
    throw new SetupError(
      'the compiled TensorFlow binding does not load',
      `remove ${userCacheFolder()} and run \`npm run setup\`; if that does not help, report it`,
      lastLoadOutput,
    );
  }
}

function cachedBindingName() {
  return `tfjs-binding-${TFJS_VERSION}-tensorflow-${TENSORFLOW_VERSION}-${process.platform}-${process.arch}`;
}

async function linkBinding(packagePath, cached) {
  const target = join(packagePath, BINDING);
  mkdirSync(dirname(target), { recursive: true });
  const aside = `${target}.${process.pid}`;
  copyFileSync(cached, aside);
  renameSync(aside, target);
  return takeBinding(packagePath, 'wheel', join(libtensorflowFolder(), 'lib'));
}

let lastLoadOutput = '';

/** Loads the binding once, in a process of its own, and on success leaves the stamp. */
async function takeBinding(packagePath, source, libraryFolder) {
  const binding = join(packagePath, BINDING);
  if (!existsSync(binding)) return false;
  const { code, output } = await runProgram(
    process.execPath,
    ['-e', 'process.stdout.write(`TensorFlow=${require(process.argv[1]).TF_Version}\\n`)', binding],
    { env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '2' }, timeoutMs: 60_000 },
  );
  const version = /^TensorFlow=(\S+)$/m.exec(output)?.[1];
  if (code !== 0 || version === undefined) {
    lastLoadOutput = lastLines(output, 6);
    return false;
  }
  const stamp = join(packagePath, STAMP);
  const content = {
    tensorflowVersion: version,
    source,
    libraryFolder,
    bindingBytes: statSync(binding).size,
  };
  writeFileSync(`${stamp}.${process.pid}`, `${JSON.stringify(content, undefined, 2)}\n`);
  renameSync(`${stamp}.${process.pid}`, stamp);
  say(`setup: TensorFlow ${version} loads`);
  return true;
}

function removeBinding(packagePath) {
  for (const folder of ['lib', 'deps']) {
    rmSync(join(packagePath, folder), { recursive: true, force: true });
  }
}
