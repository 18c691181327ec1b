import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { DataError, StoreError } from '../../../src/diagnostics/errors.ts';
import type { Digest } from '../../../src/stage/artifact.ts';
import { writeFileAtomic } from '../../../src/store/atomic-write.ts';
import { digestFolder } from '../../../src/store/folder-listing.ts';
import { hashFile } from '../../../src/store/hash-file.ts';
import { StatCache, digestFile } from '../../../src/store/stat-cache.ts';
import { openStore } from '../../../src/store/store.ts';
import { asStoreError, showBytes } from '../../../src/store/system-error.ts';
import { temporaryProject } from '../../support/in-memory-pipeline.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

test('hashFile agrees with the published digests of FIPS 180-4', async (t) => {
  const path = join(await temporaryProject(t), 'x');
  await writeFile(path, 'abc');
  assert.deepEqual(await hashFile(path), {
    digest: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    sizeBytes: 3,
  });
  await writeFile(path, 'a'.repeat(1_000_000)); // the million-a vector, read in several pieces
  await writeFile(path, 'a'.repeat(2_500_000));
  assert.equal((await hashFile(path)).digest, sha256('a'.repeat(2_500_000)));
  await writeFile(path, '');
  assert.equal((await hashFile(path)).digest, sha256(''));
});

test('a folder has the digest of its sorted listing, worked out by hand', async (t) => {
  const root = await temporaryProject(t);
  await mkdir(join(root, 'd/sub'), { recursive: true });
  await mkdir(join(root, 'd/empty'));
  await writeFile(join(root, 'd/sub/b'), 'B');
  await writeFile(join(root, 'd/Z'), 'ZZ');
  const cache = await StatCache.open(join(root, 'cache.json'));
  const expected = `{"files":[{"digest":"${sha256('ZZ')}","path":"Z","sizeBytes":2},{"digest":"${sha256('B')}","path":"sub/b","sizeBytes":1}],"format":1}`;
  const { digest, sizeBytes } = await digestFolder(join(root, 'd'), cache);
  assert.equal(digest, sha256(expected));
  assert.equal(sizeBytes, 3);
});

test('links inside a folder are followed; those that leave it, cycles and pipes are refused', async (t) => {
  const root = await temporaryProject(t);
  const folder = join(root, 'd');
  await mkdir(join(folder, 'real'), { recursive: true });
  await writeFile(join(folder, 'real/a'), 'A');
  await writeFile(join(root, 'secret'), 'S');
  const cache = await StatCache.open(join(root, 'cache.json'));
  await symlink('real', join(folder, 'alias'));
  const { listing } = await digestFolder(folder, cache);
  assert.deepEqual(
    listing.files.map(({ path }) => path),
    ['alias/a', 'real/a'],
  );
  const refuses = async (name: string, target: string, pattern: RegExp): Promise<void> => {
    await symlink(target, join(folder, name));
    await assert.rejects(digestFolder(folder, cache), (error) => {
      assert.ok(error instanceof DataError);
      assert.match(error.message, pattern);
      return true;
    });
    await rm(join(folder, name));
  };
  await refuses('out', '../secret', /out is a symbolic link out of the folder, to .*secret/);
  await refuses('gone', 'nowhere', /gone is a symbolic link that leads nowhere/);
  await refuses('loop', 'loop', /loop is a symbolic link that leads to itself/);
  await refuses('up', '.', /up is a symbolic link to a folder above itself/);
});

test('the stat cache spares reading, and does not trust a file changed a moment ago', async (t) => {
  const root = await temporaryProject(t);
  const path = join(root, 'x');
  await writeFile(path, 'old');
  const cache = await StatCache.open(join(root, 'cache.json'));
  await digestFile(path, cache);
  assert.equal(cache.lookup(await lstat(path, { bigint: true })), undefined);
  // Time stamps of a minute ago do not help: the change time is now.
  await utimes(path, Date.now() / 1000 - 60, Date.now() / 1000 - 60);
  await digestFile(path, cache);
  const stats = await lstat(path, { bigint: true });
  assert.equal(cache.lookup(stats), undefined);

  cache.record(stats, sha256('believed') as Digest);
  await cache.save();
  const reopened = await StatCache.open(join(root, 'cache.json'));
  assert.equal((await digestFile(path, reopened)).digest, sha256('believed'), 'was not read');
  await utimes(path, Date.now() / 1000, Date.now() / 1000);
  assert.equal((await digestFile(path, reopened)).digest, sha256('old'), 'was read again');
  await writeFile(join(root, 'cache.json'), '{"format":1,"entries":[["');
  assert.equal((await StatCache.open(join(root, 'cache.json'))).lookup(stats), undefined);
});

test('a file of the user that a stage linked into its output is copied, not taken', async (t) => {
  const root = await temporaryProject(t);
  const photo = join(root, 'photo');
  await writeFile(photo, 'pixels');
  await link(photo, join(root, 'out'));
  const store = await openStore(root);
  const artifact = await store.artifacts.commit('file', join(root, 'out'), 'out');
  const object = await lstat(store.artifacts.objects.pathOf(artifact.digest));
  const original = await lstat(photo);
  assert.notEqual(object.ino, original.ino);
  assert.equal(original.mode & 0o222, 0o200, 'the photograph can still be written');
});

test('a folder artifact survives the loss of its working copy, and identical files are one object', async (t) => {
  const root = await temporaryProject(t);
  await mkdir(join(root, 'out/deep'), { recursive: true });
  for (const name of ['a', 'deep/b']) await writeFile(join(root, 'out', name), 'same');
  const store = await openStore(root);
  const artifact = await store.artifacts.commit('folder', join(root, 'out'), 'out');
  const place = join(root, 'place');
  await store.copies.materialize(artifact, place);
  await rm(join(place, 'a'));
  await writeFile(join(place, 'extra'), '');
  const stored = await store.artifacts.inspect(artifact);
  assert.ok(stored.state === 'sound');
  assert.equal(await store.copies.inspect(artifact, stored.listing, place), 'changed');
  await store.copies.materialize(artifact, place);
  assert.deepEqual((await readdir(place)).sort(), ['a', 'deep']);
  assert.equal(await readFile(join(place, 'deep/b'), 'utf8'), 'same');
  const inodes = await Promise.all(['a', 'deep/b'].map((name) => lstat(join(place, name))));
  assert.equal(inodes[0]?.ino, inodes[1]?.ino);
  const file = stored.listing?.files[0];
  assert.ok(file);
  await rm(store.artifacts.objects.pathOf(file.digest));
  assert.deepEqual(await store.artifacts.inspect(artifact), { state: 'missing', place: 'a' });
  await assert.rejects(store.copies.materialize(artifact, place), StoreError);
});

test('an atomic write leaves no temporary file when it fails', async (t) => {
  const root = await temporaryProject(t);
  await mkdir(join(root, 'taken'));
  await assert.rejects(writeFileAtomic(join(root, 'taken'), 'x'), StoreError);
  assert.deepEqual(await readdir(root), ['taken']);
});

test('a full disk and a read-only folder are explained with figures and a remedy', async () => {
  const full = Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
  const explained = await asStoreError(full, '/no/such/place', 1_500_000_000);
  assert.ok(explained instanceof StoreError);
  assert.match(
    explained.message,
    /^the disk is full: \/no\/such\/place cannot be written \(1\.5 GB needed, [\d.]+ [kMGT]?B free\)$/,
  );
  const readOnly = await asStoreError(Object.assign(new Error(), { code: 'EROFS' }), '/data');
  assert.ok(readOnly instanceof StoreError);
  assert.equal(readOnly.message, '/data cannot be written: the file system is read-only');
  const other = new Error('else');
  assert.equal(await asStoreError(other, '/data'), other);
  assert.deepEqual([0, 999, 1000, 2.5e12].map(showBytes), ['0 B', '999 B', '1.0 kB', '2.5 TB']);
});
