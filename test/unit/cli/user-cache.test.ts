import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, userInfo, hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { packageRoot } from '../../../src/runtime/package-root.ts';
import { userCacheFolder } from '../../../src/runtime/tensorflow-location.ts';

interface UserCache {
  userCacheFolder: () => string;
  fillCacheFolder: (name: string, fill: (aside: string) => Promise<void>) => Promise<string>;
}

const setupModule = join(packageRoot(), 'src/cli/setup/user-cache.js');
const cache = (await import(pathToFileURL(setupModule).href)) as UserCache;
const before = process.env['XDG_CACHE_HOME'];
let scratch = '';

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'drq-cache-'));
  process.env['XDG_CACHE_HOME'] = scratch;
});
afterEach(() => {
  if (before === undefined) delete process.env['XDG_CACHE_HOME'];
  else process.env['XDG_CACHE_HOME'] = before;
  rmSync(scratch, { recursive: true, force: true });
});

test('set-up and reader look in the same place', () => {
  assert.equal(cache.userCacheFolder(), join(scratch, 'drq'));
  for (const value of [scratch, 'relative', '']) {
    process.env['XDG_CACHE_HOME'] = value;
    assert.equal(cache.userCacheFolder(), userCacheFolder());
  }
  assert.equal(userCacheFolder({}), join(homedir(), '.cache', 'drq'));
});

test("an empty HOME leaves the home of the user's entry", () => {
  const home = process.env['HOME'];
  process.env['HOME'] = '';
  process.env['XDG_CACHE_HOME'] = '';
  try {
    assert.equal(userCacheFolder({}), join(userInfo().homedir, '.cache', 'drq'));
    assert.equal(cache.userCacheFolder(), userCacheFolder({}));
  } finally {
    process.env['HOME'] = home;
    process.env['XDG_CACHE_HOME'] = scratch;
  }
});

test('a filled folder appears whole, a failed one not at all', async () => {
  const folder = join(scratch, 'drq');
  await cache.fillCacheFolder('good', (aside) => {
    writeFileSync(join(aside, 'file'), 'content');
    assert.ok(!readdirSync(folder).includes('good'));
    return Promise.resolve();
  });
  const failing = cache.fillCacheFolder('bad', (aside) => {
    writeFileSync(join(aside, 'file'), 'half');
    return Promise.reject(new Error('killed'));
  });
  await assert.rejects(failing, /killed/);
  assert.deepEqual(readdirSync(folder), ['good']);
  assert.equal(readFileSync(join(folder, 'good', 'file'), 'utf8'), 'content');
});

test('of two at once the first stays', async () => {
  const target = await cache.fillCacheFolder('shared', (aside) => {
    writeFileSync(join(aside, 'file'), 'second');
    mkdirSync(join(scratch, 'drq', 'shared'));
    writeFileSync(join(scratch, 'drq', 'shared', 'file'), 'first');
    return Promise.resolve();
  });
  assert.equal(readFileSync(join(target, 'file'), 'utf8'), 'first');
  assert.deepEqual(readdirSync(join(scratch, 'drq')), ['shared']);
});

test('what killed set-ups left is removed, what living ones write is not', async () => {
  const folder = join(scratch, 'drq');
  // Linux gives no process this number: the kernel's limit is 2^22.
  const dead = `partial-${hostname()}-${2 ** 22 + 1}-x`;
  const alive = `partial-${hostname()}-${process.pid}-y`;
  const elsewhere = 'partial-other-host-1-z';
  for (const name of [dead, alive, elsewhere]) mkdirSync(join(folder, name), { recursive: true });
  await cache.fillCacheFolder('new', () => Promise.resolve());
  assert.deepEqual(readdirSync(folder).sort(), ['new', elsewhere, alive].sort());
});
