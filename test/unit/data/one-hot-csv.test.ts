import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { readLabelCsv, type LabelledRows } from '../../../src/data/read-label-csv.ts';
import { writeFiles } from '../../support/picture-fixtures.ts';
import { temporaryFolder } from '../../support/stage-context.ts';

const NAMES = ['a', 'b', 'c', 'd'];

/** Reads `truth.csv`: a header and rows that follow the names of four images. */
async function read(
  t: TestContext,
  header: string,
  rows: readonly string[],
  request: object = {},
): Promise<LabelledRows> {
  const root = await temporaryFolder(t);
  const lines = rows.map((row, i) => `${NAMES[i] ?? ''},${row}\n`);
  const images = Object.fromEntries(NAMES.map((name) => [join(root, `${name}.jpg`), '']));
  await writeFiles({ ...images, [join(root, 'truth.csv')]: `${header}\n${lines.join('')}` });
  return readLabelCsv({ root, file: 'truth.csv', imageFolder: '', ...request });
}

const classesOf = ({ images }: LabelledRows): string[] => images.map(({ className }) => className);

test('one column a class, as ISIC distributes them, names the classes', async (t) => {
  const rows = ['0.0,1.0,0.0,0.0', '1.0,0.0,0.0,0.0', '0,0,1,0', '0.0,1.0,0.0,0.0'];
  const found = await read(t, 'image,MEL,NV,BCC,UNK', rows);
  assert.deepEqual(classesOf(found), ['NV', 'MEL', 'BCC', 'NV']);
  assert.deepEqual(found.notes, [
    'the columns "MEL", "NV", "BCC", "UNK" of truth.csv are read as a class each, that of the images with a 1 in it; no row has a 1 in "UNK"; name labelColumn if another column has the label',
  ]);
});

test('columns of split and patient, named or recognised, are none of classes', async (t) => {
  const rows = ['1,0,train,P1', '0,1,train,P1', '1,0,val,P2', '0,1,test,P3'];
  const recognised = await read(t, 'image,A,B,split,patient_id', rows);
  const named = await read(t, 'image,A,B,part,person', rows, {
    splitColumn: 'part',
    groupColumn: 'person',
  });
  for (const found of [recognised, named]) {
    assert.deepEqual(classesOf(found), ['A', 'B', 'A', 'B']);
    assert.deepEqual(
      found.images.map(({ split, group }) => [split, group]),
      [
        ['train', 'P1'],
        ['train', 'P1'],
        ['validation', 'P2'],
        ['test', 'P3'],
      ],
    );
  }
  // A class called as groups are.
  const lesion = await read(t, 'image,lesion,healthy', ['1,0', '0,1', '1,0', '0,1']);
  assert.deepEqual(classesOf(lesion), ['lesion', 'healthy', 'lesion', 'healthy']);
  assert.equal(lesion.images[0]?.group, undefined);
});

test('a column of labels, named or by its name, has the say', async (t) => {
  const rows = ['1,0', '0,1', '1,0', '0,1'];
  assert.deepEqual(classesOf(await read(t, 'image,A,label', rows)), ['0', '1', '0', '1']);
  const named = await read(t, 'image,A,B', rows, { labelColumn: 'B' });
  assert.deepEqual([classesOf(named), named.notes], [['0', '1', '0', '1'], []]);
});

test('rows of no class or of several are told by the first, and other columns are no classes', async (t) => {
  const code = 'data/unknown-column';
  const hint = /^correct or remove such rows, or name the columns/;
  await assert.rejects(read(t, 'image,A,B', ['1,0', '0,0', '1,1', '0,1']), {
    code,
    message: /no column recognised as labelColumn; .*but line 3 has no 1, and/,
    hint,
  });
  await assert.rejects(read(t, 'image,A,B,C', ['1,0,0', '1,0,1']), {
    code,
    message: /but line 3 has a 1 in 2 of them, and/,
    hint,
  });
  for (const [header, row] of [
    ['image,A,B,age', '1,0,44'],
    ['image,A,B', '1,'],
    ['image,A', '1'],
    ['image,A,A', '1,0'],
  ] as const) {
    await assert.rejects(read(t, header, [row]), { code, hint: /^name the columns/ });
  }
});
