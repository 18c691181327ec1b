import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { packageRoot } from '../../../src/runtime/package-root.ts';
import { TFJS_VERSION } from '../../../src/runtime/tensorflow-location.ts';
import { makeTinyCheckout, type TinyCheckout } from '../../support/tiny-checkout.ts';

const WHEEL_PLATFORM = process.platform === 'linux' && process.arch === 'x64';
const onlyHere = {
  skip: WHEEL_PLATFORM ? false : 'the way by the TensorFlow wheel is for Linux x64',
};

/** A package as npm leaves it without scripts; its host is a port where nobody listens. */
function addPackage(checkout: TinyCheckout): void {
  const folder = 'node_modules/@tensorflow/tfjs-node';
  checkout.write(`${folder}/package.json`, '{ "name": "@tensorflow/tfjs-node" }');
  checkout.write(
    `${folder}/scripts/install.js`,
    "const BASE_HOST = CDN_STORAGE || 'http://127.0.0.1:1/';\n",
  );
}

function addLibraries(checkout: TinyCheckout): void {
  const folder = join(checkout.cacheFolder, 'libtensorflow-2.15.1-linux-x64', 'lib');
  mkdirSync(folder, { recursive: true });
  for (const name of ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2']) {
    writeFileSync(join(folder, name), '');
  }
}

test(
  'without pip the set-up names the remedy and what works all the same',
  onlyHere,
  async (context) => {
    const checkout = makeTinyCheckout(context);
    addPackage(checkout);
    const { exitCode, stderr } = await checkout.setup(['binding'], { PATH: checkout.programs });
    assert.equal(exitCode, 1);
    assert.match(stderr, /tfjs-node's own download: its host does not answer/);
    assert.match(
      stderr,
      /no TensorFlow binding: Python's pip is not installed\n {2}hint: install it/,
    );
    assert.match(stderr, /everything but `train` works without it/);
  },
);

test('a wheel with another sha256 is refused and not kept', onlyHere, async (context) => {
  const checkout = makeTinyCheckout(context);
  addPackage(checkout);
  const pip =
    '#!/bin/sh\nfor a in "$@"; do case "$a" in\n' +
    '--dest=*) echo forged > "${a#--dest=}/tensorflow_cpu-2.15.1.whl";;\nesac; done\n';
  writeFileSync(join(checkout.programs, 'pip3'), pip, { mode: 0o755 });
  const { exitCode, stderr } = await checkout.setup(['binding'], { PATH: checkout.programs });
  assert.equal(exitCode, 1);
  // sha256sum of "forged\n"
  assert.match(
    stderr,
    /wrong sha256: received 0ab55839[0-9a-f]{56}, expected 54660c07[0-9a-f]{56}/,
  );
  assert.deepEqual(readdirSync(checkout.cacheFolder), []);
});

test('a pip that cannot download is quoted', onlyHere, async (context) => {
  const checkout = makeTinyCheckout(context);
  addPackage(checkout);
  const pip = '#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "ERROR: no network" >&2\nexit 1\n';
  writeFileSync(join(checkout.programs, 'pip3'), pip, { mode: 0o755 });
  const { exitCode, stderr } = await checkout.setup(['binding'], { PATH: checkout.programs });
  assert.equal(exitCode, 1);
  assert.match(stderr, /pip could not download tensorflow-cpu 2\.15\.1\n {4}ERROR: no network\n/);
});

test(
  'without a compiler the set-up says so; what was unpacked stays',
  onlyHere,
  async (context) => {
    const checkout = makeTinyCheckout(context);
    addPackage(checkout);
    addLibraries(checkout);
    const { exitCode, stderr } = await checkout.setup(['binding'], { CXX: 'no-such-compiler' });
    assert.equal(exitCode, 1);
    assert.match(
      stderr,
      /there is no C\+\+ compiler \(no-such-compiler: ENOENT\)\n {2}hint: install/,
    );
    assert.deepEqual(readdirSync(checkout.cacheFolder), ['libtensorflow-2.15.1-linux-x64']);
  },
);

test('a binding that does not load leaves no stamp', onlyHere, async (context) => {
  const checkout = makeTinyCheckout(context);
  addPackage(checkout);
  addLibraries(checkout);
  // A compiler that is content with everything: its output is no library.
  const compiler = '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho text > "$2"\n';
  writeFileSync(join(checkout.programs, 'c++'), compiler, { mode: 0o755 });
  const CXX = join(checkout.programs, 'c++');
  const { exitCode, stderr } = await checkout.setup(['binding'], { CXX });
  assert.equal(exitCode, 1);
  assert.match(stderr, /the compiled TensorFlow binding does not load/);
  const folder = join(checkout.folder, 'node_modules/@tensorflow/tfjs-node/lib/napi-v8');
  assert.ok(!existsSync(join(folder, 'drq-binding.json')));
});

test('the library and the headers are taken from the wheel, nothing else', async () => {
  const { targetPath } = (await importSetup('libtensorflow.js')) as {
    targetPath: (entry: string) => string | undefined;
  };
  const cases: readonly [string, string | undefined][] = [
    ['tensorflow/libtensorflow_cc.so.2', 'lib/libtensorflow_cc.so.2'],
    ['tensorflow/include/tensorflow/c/eager/c_api.h', 'include/tensorflow/c/eager/c_api.h'],
    ['tensorflow/include/tsl/platform/ctstring.h', 'include/tsl/platform/ctstring.h'],
    ['tensorflow/THIRD_PARTY_NOTICES.txt', 'THIRD_PARTY_NOTICES.txt'],
    ['tensorflow_cpu-2.15.1.dist-info/LICENSE', 'LICENSE'],
    ['tensorflow/include/unsupported/Eigen/CXX11/Tensor', undefined],
    ['tensorflow/python/_pywrap_tfe.so', undefined],
    ['tensorflow/lite/libtensorflow_cc.so.2', undefined],
  ];
  for (const [entry, expected] of cases) assert.equal(targetPath(entry), expected, entry);
});

test('the set-up, its reader and package.json agree on the version of tfjs-node', async () => {
  const setup = (await importSetup('tensorflow-binding.js')) as { TFJS_VERSION: string };
  const declared = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as {
    optionalDependencies: Record<string, string>;
  };
  assert.equal(setup.TFJS_VERSION, TFJS_VERSION);
  assert.equal(declared.optionalDependencies['@tensorflow/tfjs-node'], TFJS_VERSION);
});

function importSetup(name: string): Promise<unknown> {
  return import(pathToFileURL(join(packageRoot(), 'src/cli/setup', name)).href);
}
