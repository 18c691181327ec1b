import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { DataError } from '../../../../src/diagnostics/errors.ts';
import { ingestParameters } from '../../../../stages/ingest/parameters.ts';
import { readSource } from '../../../../stages/ingest/read-source.ts';
import { writeFiles } from '../../../support/picture-fixtures.ts';
import { temporaryFolder } from '../../../support/stage-context.ts';

const PARTS = ['part_1/a1.jpg', 'part_1/a2.jpg', 'part_2/a3.jpg', 'part_2/a4.jpg'];

/** What is read of a source with these files; images need no content to be found. */
async function read(
  t: TestContext,
  files: Readonly<Record<string, string>>,
  { images = PARTS, parameters = {} }: { images?: readonly string[]; parameters?: object } = {},
): ReturnType<typeof readSource> {
  const root = await temporaryFolder(t);
  const all = { ...files, ...Object.fromEntries(images.map((name) => [name, ''])) };
  await writeFiles(
    Object.fromEntries(Object.entries(all).map(([name, text]) => [join(root, name), text])),
  );
  return readSource(root, ingestParameters.parse(parameters), 'source');
}

async function refused(running: Promise<unknown>): Promise<DataError> {
  const error: unknown = await running.then(
    () => null,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof DataError, `expected a DataError, got ${String(error)}`);
  return error;
}

test('HAM10000 as it ships: labels in a CSV beside folders that are parts, not classes', async (t) => {
  const { images, notes } = await read(t, {
    'HAM10000_metadata.csv':
      'lesion_id,image_id,dx,dx_type,age\nL1,a1,nv,histo,40\nL2,a2,mel,histo,4\nL3,a3,nv,histo,1\nL4,a4,bkl,histo,2\n',
  });
  assert.deepEqual(
    images.map(({ id, className }) => [id, className]),
    [
      ['part_1/a1', 'nv'],
      ['part_1/a2', 'mel'],
      ['part_2/a3', 'nv'],
      ['part_2/a4', 'bkl'],
    ],
  );
  assert.deepEqual(notes, []);
});

for (const [name, csv, says] of [
  [
    'one unknown column',
    'photograph,diagnosis\na1.jpg,2\n',
    /as imageColumn; .*"photograph" names images, such as "a1\.jpg"/,
  ],
  [
    'two unknown columns',
    'foo,bar\nx,part_1/a1\n',
    /as imageColumn or as labelColumn; .*"bar" names images/,
  ],
  ['an unknown label column', 'image,sex\na1,f\n', /as labelColumn; .*"image" names images/],
  ['no header', 'a1.jpg,2\na2.jpg,3\n', /first line, .* names the image "a1\.jpg"/],
] as const) {
  test(`a CSV that names images is not passed over for the folders: ${name}`, async (t) => {
    const error = await refused(read(t, { 'labels.csv': csv }));
    assert.equal(error.code, 'data/unknown-column');
    assert.match(error.message, says);
    assert.match(
      error.hint ?? '',
      /imageColumn and labelColumn; recognised without are as .*class-folders/,
    );
    const layout = 'class-folders';
    const { images, notes } = await read(t, { 'labels.csv': csv }, { parameters: { layout } });
    assert.equal(images[0]?.className, 'part_1');
    assert.deepEqual(notes, []);
  });
}

test('the columns of such a CSV can be named', async (t) => {
  const parameters = { imageColumn: 'photograph', labelColumn: 'finding' };
  const csv = 'photograph,finding\na1,x\na3,y\n';
  const { images } = await read(t, { 'l.csv': csv }, { parameters });
  assert.deepEqual(
    images.map(({ className }) => className),
    ['x', 'y'],
  );
});

test('a CSV that names no image is left out and told', async (t) => {
  const { images, notes } = await read(t, { 'sizes.csv': 'part,count\n1,20\n' });
  assert.equal(images.length, 4);
  assert.deepEqual(notes, ['sizes.csv is not read: no column names images']);
});

test('numbers of a list of classes are no names of images, those of most images are', async (t) => {
  const images = ['cat/0.jpg', 'cat/1.jpg', 'cat/2.jpg', 'dog/3.jpg', 'dog/4.jpg'];
  const { notes } = await read(t, { 'classes.csv': 'id,name\n0,cat\n1,dog\n' }, { images });
  assert.deepEqual(notes, ['classes.csv is not read: no column names images']);
  const rows = 'id,breed\n0,cat\n1,cat\n2,cat\n3,dog\n';
  const error = await refused(read(t, { 'breeds.csv': rows }, { images }));
  assert.match(error.message, /"id" names images, such as "0"/);
});

test('beside a label file, a CSV of images without labels is left out and told', async (t) => {
  const { images, notes } = await read(t, {
    'train.csv': 'id_code,diagnosis\na1,0\na2,1\n',
    'test.csv': 'id_code\na3\n',
  });
  assert.equal(images.length, 2);
  assert.equal(notes.length, 1);
  assert.match(
    notes[0] ?? '',
    /^test\.csv is not read: no columns of image and label .* train\.csv/,
  );
});
