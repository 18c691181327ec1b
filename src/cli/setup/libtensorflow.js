import { createHash } from 'node:crypto';
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
} from 'node:fs';
import { rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { pipeline } from 'node:stream/promises';
import { formatMegabytes, withProgress } from './progress.js';
import { lastLines, runProgram } from './run-program.js';
import { SetupError } from './setup-error.js';
import { fillCacheFolder, userCacheFolder } from './user-cache.js';

/** The release of TensorFlow whose C library is used, and the digest of its only wheel taken. */
export const TENSORFLOW_VERSION = '2.15.1';
const WHEEL_SHA256 = '54660c074d7241a503e81edfd9f5ef5af88f64051b72e2945f26318c790f2d26';
const WHEEL_BYTES = 207_208_420;
const DOWNLOAD_LIMIT_MS = 20 * 60_000;

/** Of the wheel's 12,000 files these are what the binding is compiled against and runs on. */
const LIBRARIES = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'];
const HEADER_FOLDERS = [
  'tensorflow/include/tensorflow/c/',
  'tensorflow/include/tensorflow/core/platform/',
  'tensorflow/include/tsl/c/',
  'tensorflow/include/tsl/platform/',
];
const NOTICES = ['tensorflow/THIRD_PARTY_NOTICES.txt'];

/** Where the libraries of one platform lie for all checkouts of a user. */
export function libtensorflowFolder() {
  return join(userCacheFolder(), folderName());
}

/** True when the libraries are there, whole: the folder is only ever renamed into place. */
export function hasLibtensorflow() {
  return LIBRARIES.every((name) => existsSync(join(libtensorflowFolder(), 'lib', name)));
}

/**
 * Downloads the wheel with pip, checks its digest and unpacks the needed files into the user's
 * cache; returns that folder. `readZip` comes from a package and so is handed in.
 */
export async function fetchLibtensorflow(readZip) {
  if (hasLibtensorflow()) return libtensorflowFolder();
  rmSync(libtensorflowFolder(), { recursive: true, force: true });
  const wheel = await fetchWheel();
  let unpackedBytes = 0;
  await withProgress(
    `unpacking TensorFlow ${TENSORFLOW_VERSION}`,
    () =>
      fillCacheFolder(folderName(), async (aside) => {
        await readZip(wheel, targetPath, async (target, stream) => {
          const path = join(aside, target);
          mkdirSync(dirname(path), { recursive: true });
          stream.on('data', (chunk) => (unpackedBytes += chunk.length));
          await pipeline(stream, createWriteStream(path, { mode: 0o644 }));
        });
        const missing = LIBRARIES.filter((name) => !existsSync(join(aside, 'lib', name)));
        if (missing.length > 0) {
          throw new SetupError(`the TensorFlow wheel lacks ${missing.join(', ')}`, 'report this');
        }
      }),
    () => formatMegabytes(unpackedBytes),
  );
  rmSync(wheel, { force: true });
  return libtensorflowFolder();
}

/** Path in the cache folder for an entry of the wheel; undefined for what is not needed. */
export function targetPath(entry) {
  const library = LIBRARIES.find((name) => entry === `tensorflow/${name}`);
  if (library !== undefined) return join('lib', library);
  if (NOTICES.includes(entry) || /^tensorflow_cpu-[^/]*\.dist-info\/LICENSE$/.test(entry)) {
    return entry.slice(entry.lastIndexOf('/') + 1);
  }
  if (HEADER_FOLDERS.some((folder) => entry.startsWith(folder)) && entry.endsWith('.h')) {
    return entry.slice('tensorflow/'.length);
  }
  return undefined;
}

function folderName() {
  return `libtensorflow-${TENSORFLOW_VERSION}-${process.platform}-${process.arch}`;
}

/** The wheel's path; one left by an interrupted set-up is taken when its digest is right. */
async function fetchWheel() {
  const kept = join(userCacheFolder(), `tensorflow-${TENSORFLOW_VERSION}.whl`);
  if (existsSync(kept)) {
    if ((await digestOf(kept)) === WHEEL_SHA256) return kept;
    rmSync(kept, { force: true });
  }
  const pip = await findPip();
  await fillCacheFolder('download', async (aside) => {
    await withProgress(
      `downloading TensorFlow ${TENSORFLOW_VERSION} (${formatMegabytes(WHEEL_BYTES)}, by pip)`,
      () => downloadWheel(pip, aside),
      () => formatMegabytes(bytesBelow(aside)),
    );
    const wheel = readdirSync(aside).find((name) => name.endsWith('.whl'));
    if (wheel === undefined) {
      throw new SetupError('pip ended without an error but brought no wheel', 'try again');
    }
    const digest = await digestOf(join(aside, wheel));
    if (digest !== WHEEL_SHA256) {
      throw new SetupError(
        `the TensorFlow wheel that pip brought has the wrong sha256: received ${digest}, ` +
          `expected ${WHEEL_SHA256}`,
        "the package index or a proxy served another file: check pip's configuration (`pip config list`)",
      );
    }
    renameSync(join(aside, wheel), kept);
  });
  rmSync(join(userCacheFolder(), 'download'), { recursive: true, force: true });
  return kept;
}

async function downloadWheel(pip, folder) {
  const [program, ...first] = pip;
  const result = await runProgram(
    program,
    [
      ...first,
      'download',
      '--no-deps',
      '--no-cache-dir',
      '--disable-pip-version-check',
      '--no-input',
      '--only-binary=:all:',
      '--python-version=3.11',
      '--implementation=cp',
      '--abi=cp311',
      '--platform=manylinux2014_x86_64',
      `--dest=${folder}`,
      `tensorflow-cpu==${TENSORFLOW_VERSION}`,
    ],
    // pip downloads into its temporary folder first: put where its growth can be seen.
    { env: { ...process.env, TMPDIR: folder }, timeoutMs: DOWNLOAD_LIMIT_MS },
  );
  if (result.code !== 0) {
    throw new SetupError(
      `pip could not download tensorflow-cpu ${TENSORFLOW_VERSION}` +
        (result.timedOut ? ' within 20 minutes' : ''),
      'check the network and the package index that pip uses, then run `npm run setup`',
      lastLines(result.output, 4),
    );
  }
}

async function findPip() {
  const candidates = [['pip3'], ['pip'], ['python3', '-m', 'pip'], ['python', '-m', 'pip']];
  for (const candidate of candidates) {
    const [program, ...first] = candidate;
    const { code } = await runProgram(program, [...first, '--version'], { timeoutMs: 30_000 });
    if (code === 0) return candidate;
  }
  throw new SetupError(
    "Python's pip is not installed",
    'install it (Debian, Ubuntu: apt-get install python3-pip), then run `npm run setup`',
  );
}

async function digestOf(path) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest('hex');
}

/** Bytes of all files below a folder; files may vanish while it is looked at. */
function bytesBelow(folder) {
  let bytes = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    try {
      bytes += entry.isDirectory() ? bytesBelow(path) : statSync(path).size;
    } catch (error) {
      if (error.code !== 'ENOENT') throw error;
    }
  }
  return bytes;
}
