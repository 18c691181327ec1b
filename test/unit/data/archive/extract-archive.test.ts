import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { pack, type Header } from 'tar-stream';
import { extractArchive } from '../../../../src/data/archive/extract-archive.ts';
import { DataError } from '../../../../src/diagnostics/errors.ts';
import { makeZip } from '../../../support/picture-fixtures.ts';
import { temporaryFolder } from '../../../support/stage-context.ts';

const LIMITS = { maximumEntries: 100, maximumBytes: 10_000 };

/** Unpacks an archive of these bytes; gives the folder above the one it is unpacked to. */
async function unpack(t: TestContext, bytes: Uint8Array, limits = LIMITS): Promise<string> {
  const above = await temporaryFolder(t);
  const archive = join(above, 'archive');
  await writeFile(archive, bytes);
  const signal = new AbortController().signal;
  const folder = join(above, 'out');
  await extractArchive({ archive, shownName: 'data.zip', folder, limits, signal });
  return above;
}

async function makeTar(entries: readonly (Partial<Header> & { name: string })[]): Promise<Buffer> {
  const packer = pack();
  for (const entry of entries) {
    if (entry.type === undefined || entry.type === 'file') packer.entry(entry, 'content');
    else packer.entry(entry);
  }
  packer.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of packer) chunks.push(chunk as Uint8Array); // a pack yields its bytes
  return Buffer.concat(chunks);
}

async function refused(unpacking: Promise<unknown>, code: string, message: RegExp): Promise<void> {
  await assert.rejects(unpacking, (error) => {
    assert.ok(error instanceof DataError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  });
}

const CONTENT = Buffer.from('content');

test('images and label files of a zip are unpacked, the rest is left', async (t) => {
  const zip = makeZip([
    { name: 'd/0/a.jpg', content: CONTENT },
    { name: 'd/labels.csv', content: CONTENT },
    { name: 'd/run.sh', content: CONTENT },
  ]);
  const folder = join(await unpack(t, zip), 'out', 'd');
  assert.deepEqual((await readdir(folder)).sort(), ['0', 'labels.csv']);
  assert.equal(await readFile(join(folder, '0/a.jpg'), 'utf8'), 'content');
});

test('the same of a tar, and of one gzipped', async (t) => {
  const tar = await makeTar([{ name: '0/a.jpg' }, { name: '0/notes.txt' }]);
  for (const bytes of [tar, gzipSync(tar)]) {
    assert.deepEqual(await readdir(join(await unpack(t, bytes), 'out', '0')), ['a.jpg']);
  }
});

test('folders are made, an empty one too, as many as may be and nowhere else', async (t) => {
  const folders = [
    { name: '0/', type: 'directory' } as const,
    { name: '1/', type: 'directory' } as const,
  ];
  const zipped = folders.map(({ name }) => ({ name, content: Buffer.alloc(0), mode: 0o040755 }));
  for (const bytes of [makeZip(zipped), await makeTar([...folders, { name: '0/a.jpg' }])]) {
    const out = join(await unpack(t, bytes), 'out');
    assert.deepEqual((await readdir(out)).sort(), ['0', '1']);
    const limits = { ...LIMITS, maximumEntries: 1 };
    await refused(unpack(t, bytes, limits), 'data/archive-too-large', /more than 1 entries$/);
  }
  const zip = makeZip([{ name: '../evil/', content: Buffer.alloc(0), mode: 0o040755 }]);
  await refused(unpack(t, zip), 'data/unsafe-archive', /evil\/" leaves the folder/);
  const tar = await makeTar([{ name: '../evil/', type: 'directory' }]);
  await refused(unpack(t, tar), 'data/unsafe-archive', /evil\/" leaves the folder/);
});

for (const name of [
  '../evil.jpg',
  'a/../../evil.jpg',
  '/evil.jpg',
  'C:/evil.jpg',
  '..\\evil.jpg',
]) {
  test(`an entry that leaves the folder is refused: ${name}`, async (t) => {
    const zip = unpack(t, makeZip([{ name, content: CONTENT }]));
    await refused(zip, 'data/unsafe-archive', /evil\.jpg" leaves the folder/);
    const tar = unpack(t, await makeTar([{ name }]));
    await refused(tar, 'data/unsafe-archive', /evil\.jpg" leaves the folder/);
  });
}

test('a refused entry leaves nothing outside', async (t) => {
  const above = await temporaryFolder(t);
  const archive = join(above, 'archive');
  await writeFile(archive, makeZip([{ name: '../evil.jpg', content: CONTENT }]));
  const signal = new AbortController().signal;
  const request = { archive, shownName: 'data.zip', folder: join(above, 'out'), limits: LIMITS };
  await assert.rejects(extractArchive({ ...request, signal }));
  assert.ok(!existsSync(join(above, 'evil.jpg')));
});

test('links and devices are refused', async (t) => {
  const link = makeZip([{ name: 'a.jpg', content: Buffer.from('/etc/passwd'), mode: 0o120777 }]);
  await refused(unpack(t, link), 'data/unsafe-archive', /"a\.jpg" is a link or a device/);
  for (const type of ['symlink', 'link', 'character-device', 'block-device'] as const) {
    const tar = await makeTar([{ name: 'a.jpg', type, linkname: '/etc/passwd' }]);
    await refused(unpack(t, tar), 'data/unsafe-archive', new RegExp(`is a ${type}, not a file`));
  }
});

test('bytes and entries are bounded by what really comes', async (t) => {
  const large = makeZip([{ name: 'a.jpg', content: Buffer.alloc(20_000) }]);
  await refused(unpack(t, large), 'data/archive-too-large', /more than .* GB$/);
  const many = makeZip(['a', 'b', 'c'].map((n) => ({ name: `${n}.jpg`, content: CONTENT })));
  const limits = { ...LIMITS, maximumEntries: 2 };
  await refused(unpack(t, many, limits), 'data/archive-too-large', /more than 2 entries$/);
  const bomb = gzipSync(await makeTar([{ name: 'a.jpg' }, { name: 'b.jpg' }]));
  const tiny = { ...LIMITS, maximumBytes: 10 };
  await refused(unpack(t, bomb, tiny), 'data/archive-too-large', /data\.zip/);
});

test('other files and cut archives are told as such', async (t) => {
  await refused(unpack(t, CONTENT), 'data/invalid-archive', /neither a zip nor a tar/);
  const zip = makeZip([{ name: 'a.jpg', content: CONTENT }]);
  await refused(unpack(t, zip.subarray(0, 40)), 'data/invalid-archive', /cannot be unpacked/);
  const tar = gzipSync(await makeTar([{ name: 'a.jpg' }]));
  await refused(unpack(t, tar.subarray(0, 60)), 'data/invalid-archive', /cannot be unpacked/);
});
