import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { tensorflowStatus } from '../../../src/runtime/tensorflow-location.ts';

const before = process.env['XDG_CACHE_HOME'];
let scratch = '';

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'drq-location-'));
  process.env['XDG_CACHE_HOME'] = join(scratch, 'cache');
});
afterEach(() => {
  if (before === undefined) delete process.env['XDG_CACHE_HOME'];
  else process.env['XDG_CACHE_HOME'] = before;
  rmSync(scratch, { recursive: true, force: true });
});

/** Makes a package with a binding of seven bytes below `root`; returns its folder. */
function addPackage(root: string): string {
  const folder = join(root, 'node_modules', '@tensorflow', 'tfjs-node');
  mkdirSync(join(folder, 'lib', 'napi-v8'), { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "name": "@tensorflow/tfjs-node" }');
  writeFileSync(join(folder, 'lib', 'napi-v8', 'tfjs_binding.node'), 'binding');
  return folder;
}

function addStamp(folder: string, stamp: unknown): void {
  const text = typeof stamp === 'string' ? stamp : JSON.stringify(stamp);
  writeFileSync(join(folder, 'lib', 'napi-v8', 'drq-binding.json'), text);
}

const goodStamp = () => ({
  tensorflowVersion: '2.15.1',
  libraryFolder: scratch,
  bindingBytes: 'binding'.length,
});

test('no package, or one without its binding, is missing with a remedy', () => {
  assert.deepEqual(tensorflowStatus(scratch), {
    state: 'missing',
    reason: '@tensorflow/tfjs-node is not installed',
    remedy: 'run `drq setup`',
  });
  writeFileSync(join(scratch, 'tsconfig.json'), '{}');
  rmSync(join(addPackage(scratch), 'lib'), { recursive: true });
  assert.deepEqual(tensorflowStatus(scratch), {
    state: 'missing',
    reason: 'the TensorFlow binding of @tensorflow/tfjs-node is not set up',
    remedy: 'run `npm run setup` in the checkout of drq',
  });
});

test('a stamp counts only with its binding and its libraries', () => {
  const packagePath = addPackage(scratch);
  const missing: readonly unknown[] = [
    '{"tensorflowVersion": "2.',
    'null',
    { ...goodStamp(), tensorflowVersion: 2 },
    { ...goodStamp(), bindingBytes: 8 },
    { ...goodStamp(), libraryFolder: join(scratch, 'removed') },
  ];
  for (const stamp of missing) {
    addStamp(packagePath, stamp);
    assert.equal(tensorflowStatus(scratch).state, 'missing', JSON.stringify(stamp));
  }
  addStamp(packagePath, goodStamp());
  const ready = { state: 'ready', packagePath, tensorflowVersion: '2.15.1' };
  assert.deepEqual(tensorflowStatus(scratch), ready);
});

test("the user's own package is found when drq's has no binding", () => {
  addPackage(scratch);
  const packagePath = addPackage(join(scratch, 'cache', 'drq', 'tfjs-node-4.22.0'));
  addStamp(packagePath, goodStamp());
  const ready = { state: 'ready', packagePath, tensorflowVersion: '2.15.1' };
  assert.deepEqual(tensorflowStatus(scratch), ready);
});

test("a package that npm's own scripts completed needs no stamp", () => {
  const packagePath = addPackage(scratch);
  mkdirSync(join(packagePath, 'deps', 'lib'), { recursive: true });
  mkdirSync(join(packagePath, 'scripts'));
  const constants = "const LIBTENSORFLOW_VERSION = '2.9.1';\n";
  writeFileSync(join(packagePath, 'scripts', 'deps-constants.js'), constants);
  const ready = { state: 'ready', packagePath, tensorflowVersion: '2.9.1' };
  assert.deepEqual(tensorflowStatus(scratch), ready);
});
