import assert from 'node:assert/strict';
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { shortenIds } from '../../../src/data/image-ids.ts';
import { scanClassFolders, skipSingleFolders } from '../../../src/data/scan-class-folders.ts';
import { writeFiles } from '../../support/picture-fixtures.ts';
import { temporaryFolder } from '../../support/stage-context.ts';

async function tree(t: TestContext, ...names: string[]): Promise<string> {
  const root = await temporaryFolder(t);
  await writeFiles(Object.fromEntries(names.map((name) => [join(root, name), ''])));
  return root;
}

test('class folders alone', async (t) => {
  const root = await tree(t, '0/a.jpg', '1/b.PNG', '1/deep/c.jpeg', '1/notes.txt', 'LICENSE.txt');
  const content = await scanClassFolders(root);
  assert.deepEqual(
    content?.images.map(({ id, className, split }) => [id, className, split]),
    [
      ['0/a.jpg', '0', undefined],
      ['1/b.PNG', '1', undefined],
      ['1/deep/c.jpeg', '1', undefined],
    ],
  );
});

test('class folders below splits, under the names in use; others and hidden files left out', async (t) => {
  const root = await tree(
    t,
    'Training/0/a.jpg',
    'valid/0/b.jpg',
    'test/0/c.jpg',
    'test/0/.DS_Store',
    'test/1/readme.txt',
    'models/x.jpg',
    '__MACOSX/0/d.jpg',
  );
  const content = await scanClassFolders(root);
  const splits = content?.images.map(({ id, split }) => [id, split]);
  assert.deepEqual(splits?.sort(), [
    ['Training/0/a.jpg', 'train'],
    ['test/0/c.jpg', 'test'],
    ['valid/0/b.jpg', 'validation'],
  ]);
  assert.deepEqual(content?.emptyClasses, ['test/1']);
  assert.deepEqual(content.unreadFolders, ['models']);
});

test('a folder without class folders is none', async (t) => {
  assert.equal(await scanClassFolders(await tree(t, 'a.jpg', 'docs/readme.txt')), null);
});

test('a wrapping folder is skipped, a single class or split is not', async (t) => {
  const wrapped = await tree(t, 'IDRiD/data/train/0/a.jpg', 'IDRiD/data/train/1/b.jpg');
  assert.equal(await skipSingleFolders(wrapped), join(wrapped, 'IDRiD/data'));
  const single = await tree(t, 'healthy/a.jpg');
  assert.equal(await skipSingleFolders(single), single);
});

test('links to folders are followed', async (t) => {
  const real = await tree(t, 'a.jpg');
  const root = await tree(t, '1/b.jpg');
  await symlink(real, join(root, '0'));
  assert.equal((await scanClassFolders(root))?.images.length, 2);
});

test('ids lose the extension where that keeps them apart', () => {
  const images = ['0/a.jpg', '0/a.png', '0/b.jpg'].map((id) => ({ id, path: id, className: '0' }));
  assert.deepEqual(
    shortenIds(images).map(({ id }) => id),
    ['0/a.jpg', '0/a.png', '0/b'],
  );
});

test('a class spelt composed in one split and decomposed in another is one', async (t) => {
  const composed = 'K\u00fche';
  const root = await tree(t, `train/${composed}/a.jpg`, `test/${composed.normalize('NFD')}/b.jpg`);
  const content = await scanClassFolders(root);
  assert.deepEqual(
    content?.images.map(({ className }) => className),
    [composed, composed],
  );
});
