import assert from 'node:assert/strict';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { listFolder, listImageFiles } from '../../../src/data/list-image-files.ts';
import { writeFiles } from '../../support/picture-fixtures.ts';
import { temporaryFolder } from '../../support/stage-context.ts';

test('images at any depth in natural order, without hidden files', async (t) => {
  const root = await temporaryFolder(t);
  const names = ['b/10.PNG', 'b/9.jpg', 'a.webp', '.hidden.png', 'b/notes.txt', '__MACOSX/a.jpg'];
  await writeFiles(Object.fromEntries(names.map((name) => [join(root, name), ''])));
  assert.deepEqual(await listImageFiles(root), ['a.webp', 'b/9.jpg', 'b/10.PNG']);
});

test('links are followed, each file is listed once, and no link back is followed', async (t) => {
  const folder = await temporaryFolder(t);
  const root = join(folder, 'root');
  await writeFiles({ [join(root, 'a', '1.png')]: '', [join(folder, 'elsewhere', '2.png')]: '' });
  await symlink(root, join(root, 'a', 'up'));
  await symlink('.', join(root, 'self'));
  await symlink(join(folder, 'elsewhere'), join(root, 'b'));
  await symlink(join(folder, 'elsewhere'), join(root, 'c'));
  await symlink(join(root, 'a', '1.png'), join(root, 'again.png'));
  assert.deepEqual(await listImageFiles(root), ['again.png', 'b/2.png']);
  const every = await listImageFiles(root, 'every-path');
  assert.deepEqual(every, ['again.png', 'a/1.png', 'b/2.png', 'c/2.png']);
  // A class folder with a link to the folder of all classes holds its own images only.
  assert.deepEqual(await listImageFiles(join(root, 'a')), ['1.png']);
});

test('what cannot be read is named', async (t) => {
  const root = await temporaryFolder(t);
  const absent = join(root, 'absent');
  await assert.rejects(listImageFiles(absent), {
    code: 'data/no-folder',
    message: `${absent} cannot be read as a folder`,
  });
  await mkdir(join(root, 'sub'));
  await symlink('nowhere', join(root, 'sub', 'x.jpg'));
  await symlink('loop', join(root, 'loop'));
  await assert.rejects(listImageFiles(join(root, 'sub')), { code: 'data/broken-link' });
  await assert.rejects(listFolder(root), {
    code: 'data/broken-link',
    message: /loop leads nowhere/,
  });
});
