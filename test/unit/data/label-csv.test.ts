import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import {
  readLabelCsv,
  type LabelCsvRequest,
  type LabelledRows,
} from '../../../src/data/read-label-csv.ts';
import { DataError } from '../../../src/diagnostics/errors.ts';
import { writeFiles } from '../../support/picture-fixtures.ts';
import { temporaryFolder } from '../../support/stage-context.ts';

/** Reads `labels.csv` beside empty files of the given names: the content of images is not looked at. */
async function read(
  t: TestContext,
  csv: string | Uint8Array,
  images: readonly string[],
  request: Partial<LabelCsvRequest> = {},
): Promise<LabelledRows['images']> {
  return (await readRows(t, csv, images, request)).images;
}

/** The same, with what is to be said. */
async function readRows(
  t: TestContext,
  csv: string | Uint8Array,
  images: readonly string[],
  request: Partial<LabelCsvRequest> = {},
): Promise<LabelledRows> {
  const root = await temporaryFolder(t);
  const files = Object.fromEntries(images.map((name) => [join(root, name), '']));
  await writeFiles({ ...files, [join(root, 'labels.csv')]: csv });
  return readLabelCsv({ root, file: 'labels.csv', imageFolder: '', ...request });
}

async function refused(reading: Promise<unknown>): Promise<DataError> {
  const error: unknown = await reading.then(
    () => null,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof DataError, 'expected a DataError');
  return error;
}

const SHIPPED: readonly (readonly [name: string, csv: string, images: string[]])[] = [
  [
    'IDRiD',
    'Image name,Retinopathy grade,Risk of macular edema ,,\nIDRiD_001,3,2,,\n',
    ['a/IDRiD_001.jpg'],
  ],
  ['APTOS', 'id_code,diagnosis\n000c1434d8d7,3\n', ['train_images/000c1434d8d7.png']],
  [
    'Messidor',
    'Image name;Ophthalmologic department;Retinopathy grade\n20051019_38557_0100_PP.tif;X;3\n',
    ['20051019_38557_0100_PP.tif'],
  ],
  ['EyePACS', '\uFEFFimage,level\r\n10_left,3\r\n', ['train/10_left.jpeg']],
];
for (const [name, csv, images] of SHIPPED) {
  test(`columns as ${name} ships them are recognised`, async (t) => {
    const found = await read(t, csv, images);
    assert.deepEqual(
      found.map(({ id, className }) => [id, className]),
      [[images[0], '3']],
    );
  });
}

test('split and group come from columns, labels like 2.0 are class 2', async (t) => {
  const csv = 'path,label,set,patient\nx/a.jpg,2.0,Training,P1\nx/b.jpg,0,val,\n';
  const found = await read(t, csv, ['x/a.jpg', 'x/b.jpg'], {
    splitColumn: 'set',
    groupColumn: 'patient',
  });
  assert.deepEqual(
    found.map(({ className, split, group }) => [className, split, group]),
    [
      ['2', 'train', 'P1'],
      ['0', 'validation', undefined],
    ],
  );
});

/** Four images, each with the cells that follow its label. */
async function readFour(
  t: TestContext,
  columns: string,
  cells: readonly string[],
  request: Partial<LabelCsvRequest> = {},
): Promise<readonly [splits: unknown[], groups: unknown[], notes: readonly string[]]> {
  const rows = cells.map((cell, i) => `${i}.jpg,${i % 2},${cell}\n`);
  const names = cells.map((_, i) => `${i}.jpg`);
  const csv = `image,label,${columns}\n${rows.join('')}`;
  const { images, notes } = await readRows(t, csv, names, request);
  return [images.map(({ split }) => split), images.map(({ group }) => group), notes];
}

const GIVEN = ['train', 'train', 'validation', 'test'];
const SPLIT_NOTE =
  'column "Split" of labels.csv gives the splits; set splitColumn: "" to ignore it';

test('a column of splits and one of patients are recognised by name and cells, and told', async (t) => {
  const cells = ['train,P1', 'Training,P1', 'val,P2', 'TEST,'];
  const [splits, groups, notes] = await readFour(t, 'Split,Patient ID', cells);
  assert.deepEqual(splits, GIVEN);
  assert.deepEqual(groups, ['P1', 'P1', 'P2', undefined]);
  assert.deepEqual(notes, [
    SPLIT_NOTE,
    'column "Patient ID" of labels.csv gives the groups, which no split divides; set groupColumn: "" to ignore it',
  ]);
  const none = { splitColumn: '', groupColumn: '' };
  assert.deepEqual(await readFour(t, 'Split,Patient ID', cells, none), [
    Array(4).fill(undefined),
    Array(4).fill(undefined),
    [],
  ]);
  const named = { splitColumn: 'split', groupPattern: '(.)' };
  assert.deepEqual(await readFour(t, 'Split,Patient ID', cells, named), [
    GIVEN,
    Array(4).fill(undefined),
    [],
  ]);
});

test('columns called so that hold something else are not taken for splits or groups', async (t) => {
  const nothing = [Array(4).fill(undefined), Array(4).fill(undefined), []];
  assert.deepEqual(await readFour(t, 'set,usage', ['A,Public', 'B,', 'A,Private', 'B,']), nothing);
  assert.deepEqual(await readFour(t, 'subject_id', ['1', '2', '3', '']), nothing);
  const mixed = await readFour(t, 'split', ['train', 'train', 'holdout', 'test']);
  assert.deepEqual(mixed[0], Array(4).fill(undefined));
  assert.match(mixed[2].join('\n'), /^column "split" .* not read for the splits: "holdout" is not/);
  const arms = await readFour(t, 'group', ['control', 'case', 'case', 'control']);
  assert.deepEqual(arms[1], Array(4).fill(undefined));
  assert.match(arms[2].join('\n'), /^column "group" .* not read for the groups, since "control"/);
  const many = Array.from({ length: 40 }, (_, i) => `g${i % 20}`);
  assert.equal((await readFour(t, 'group', many))[1][21], 'g1');
});

test('a cell without a split is refused, unless the name of the file tells one', async (t) => {
  const cells = ['train', 'train', '', 'test'];
  const error = await refused(readFour(t, 'Split', cells));
  assert.equal(error.code, 'data/unknown-split');
  assert.match(error.message, /^labels\.csv:4: split ""/);
  assert.match(error.hint ?? '', /splitColumn: ""/);
  const guessed = { split: 'validation', isSplitGuessed: true } as const;
  assert.deepEqual(await readFour(t, 'Split', cells, guessed), [
    GIVEN,
    Array(4).fill(undefined),
    [SPLIT_NOTE],
  ]);
  const told = await readFour(t, 'Split', cells, { split: 'test' });
  assert.deepEqual(told, [Array(4).fill('test'), Array(4).fill(undefined), []]);
});

test('unknown columns are refused with those there are', async (t) => {
  const error = await refused(read(t, 'photo,severity\na,1\n', ['a.jpg']));
  assert.equal(error.code, 'data/unknown-column');
  assert.match(error.message, /labels\.csv .*its columns are "photo", "severity"/);
  const named = await refused(read(t, 'image,level\na,1\n', ['a.jpg'], { labelColumn: 'grade' }));
  assert.match(
    named.message,
    /no column "grade" \(labelColumn\); its columns are "image", "level"/,
  );
});

for (const path of [
  '../secret.jpg',
  'x/../../secret.jpg',
  '/etc/passwd',
  'C:\\secret.jpg',
  '..\\s.jpg',
]) {
  test(`a path that leaves the folder is refused: ${path}`, async (t) => {
    const error = await refused(read(t, `image,label\nok.jpg,0\n${path},1\n`, ['ok.jpg']));
    assert.equal(error.code, 'data/path-outside');
    assert.ok(error.message.startsWith('labels.csv:3: '), error.message);
  });
}

test('images that are not there are counted and named', async (t) => {
  const error = await refused(read(t, 'image,label\na,0\nb,1\nc,1\n', ['a.jpg']));
  assert.equal(error.code, 'data/missing-images');
  assert.match(
    error.message,
    /^2 of 3 images named in labels\.csv are not in the source folder: b, c$/,
  );
});

test('an image that is not there is told with the file it may mean, and what to do', async (t) => {
  const told = async (
    row: string,
    files: readonly string[],
    request: Partial<LabelCsvRequest> = {},
  ): Promise<[reason: string, remedy: string]> => {
    const csv = `image,label\n${row},0\n`;
    const { code, message, hint = '' } = await refused(read(t, csv, files, request));
    assert.equal(code, 'data/missing-images');
    return [message.replace(/^.* are not in [^:]*: /, ''), hint];
  };
  const spelling = 'write the names in the CSV as those of the files, capitals alike';
  const path =
    'give the paths in the CSV from the source folder, or from imageFolder of this CSV where that is set';
  const format =
    'convert photographs of formats that are not read to PNG or JPEG, and name those in the CSV';
  const hidden = 'rename the files whose names begin with a dot, in the CSV too';
  const train = { imageFolder: 'train/' };
  assert.deepEqual(
    [
      await told('0.JPG', ['i/0.jpg']),
      await told('I/0', ['i/0.jpg']),
      await told('A.jpg', ['train/a.jpg'], train),
      await told('data/i/0.jpg', ['i/0.jpg', 'j/0.jpg']),
      await told('train/0.jpg', ['train/0.jpg'], train),
      await told('0.jpg', ['test/0.jpg', 'val/0.jpg', 'train/1.jpg'], train),
      await told('i/.0.jpg', ['i/.0.jpg', 'i/0.jpg']),
      await told('i/0.dcm', ['i/0.dcm']),
      await told('0', ['i/0.ppm', 'i/0.txt']),
      await told('0.png', ['i/0.jpg', 'i/0.txt']),
      await told('i/0.jpg', ['j/0.jpg', 'i/0.txt']),
    ],
    [
      ['0.JPG (there is i/0.jpg)', spelling],
      ['I/0 (there is i/0.jpg)', spelling],
      ['A.jpg (there is a.jpg)', spelling],
      ['data/i/0.jpg (there is i/0.jpg)', path],
      ['train/0.jpg (there is 0.jpg)', path],
      ['0.jpg (there is test/0.jpg and 1 more such file)', path],
      ['i/.0.jpg (names that begin with a dot are not read)', hidden],
      ['i/0.dcm (there is i/0.dcm, of a format that is not read)', format],
      ['0 (there is i/0.ppm, of a format that is not read)', format],
      [
        '0.png (there is i/0.jpg)',
        'give the extensions in the CSV as the files have them, or none',
      ],
      [
        'i/0.jpg',
        'add the files, set imageFolder of this CSV to where they lie, or set layout: class-folders if the CSV is not meant',
      ],
    ],
  );
  if (process.platform !== 'win32') {
    assert.deepEqual(await told('a\\b.jpg', ['i/a\\b.jpg']), [
      'a\\b.jpg (there is i/a\\b.jpg)',
      'rename the files with a backslash in their names, in the CSV too: there it is read as /',
    ]);
  }
});

test('reasons of several kinds are each given once, beside what has none', async (t) => {
  const csv = 'image,label\nA.jpg,0\nB.jpg,1\n.c.jpg,0\nd.jpg,1\n';
  const { message, hint } = await refused(read(t, csv, ['a.jpg', 'b.jpg']));
  assert.match(
    message,
    /: A\.jpg \(there is a\.jpg\), B\.jpg \(there is b\.jpg\), \.c\.jpg \(.*\), d\.jpg$/,
  );
  assert.match(hint ?? '', /^write the names [^;]*; rename the files [^;]*; add the files, [^;]*$/);
});

test('a name that fits two images is refused; imageFolder settles it', async (t) => {
  const images = ['train/0/a.jpg', 'test/0/a.jpg'];
  const error = await refused(read(t, 'image,label\na,0\n', images));
  assert.equal(error.code, 'data/ambiguous-image');
  const found = await read(t, 'image,label\na,0\n', images, { imageFolder: 'test' });
  assert.deepEqual(
    found.map(({ id }) => id),
    ['test/0/a.jpg'],
  );
});

test('a row without label, an unknown split, an empty file: one message each', async (t) => {
  const unlabelled = await refused(read(t, 'image,label\na,\n', ['a.jpg']));
  assert.equal(unlabelled.code, 'data/missing-label');
  assert.match(unlabelled.message, /labels\.csv:2/);
  const request = { splitColumn: 'set' };
  const split = await refused(read(t, 'image,label,set\na,1,holdout\n', ['a.jpg'], request));
  assert.match(split.message, /^labels\.csv:2: split "holdout"/);
  assert.equal((await refused(read(t, '', []))).code, 'data/invalid-csv');
  const unclosed = await refused(read(t, 'image,label\na,1\n\n"b,2\nc,3\n', ['a.jpg']));
  assert.match(unclosed.message, /: the quotation mark of line 4 is never closed$/);
});

test('text in another encoding is refused, with the line and the remedy', async (t) => {
  const csv = 'image,label\na,Hahn\nb,Kühe\nc,Köhe\n';
  const images = ['a.jpg', 'b.jpg', 'c.jpg'];
  const western = await refused(read(t, Buffer.from(csv, 'latin1'), images));
  assert.equal(western.code, 'data/invalid-csv');
  assert.match(western.message, /^labels\.csv cannot be read .*: line 3 is not UTF-8 text$/);
  assert.match(western.hint ?? '', /UTF-8.*Excel.*"CSV UTF-8"/);
  const little = Buffer.from(`\uFEFF${csv}`, 'utf16le');
  for (const bytes of [little, Buffer.from(little).swap16()]) {
    const wide = await refused(read(t, bytes, images));
    assert.equal(wide.code, 'data/invalid-csv');
    assert.match(wide.message, /: it is UTF-16 text, not UTF-8$/);
    assert.equal(wide.hint, western.hint);
  }
  const found = await read(t, `\uFEFF${csv}`, images);
  assert.deepEqual(
    found.map(({ className }) => className),
    ['Hahn', 'Kühe', 'Köhe'],
  );
});

test('a name is found whichever way its accents are composed', async (t) => {
  const onDisk = 'x/Kühe.jpg'.normalize('NFD');
  for (const named of ['x/Kühe.jpg', 'Kühe.jpg', 'Kühe']) {
    const found = await read(t, `image,label\n${named.normalize('NFC')},0\n`, [onDisk]);
    assert.deepEqual(
      found.map(({ id }) => id),
      [onDisk],
    );
  }
});

test('blank lines above the header do not hide the delimiter', async (t) => {
  for (const blank of ['\n', '\uFEFF\n', '  \n\n', ';;\n']) {
    const csv = `${blank}image;label;note\na;1;"a, b"\nb;0;"c; d"\n`;
    const found = await read(t, csv, ['a.jpg', 'b.jpg']);
    assert.deepEqual(
      found.map(({ className }) => className),
      ['1', '0'],
    );
  }
});

test('a file with more than one kind of line end is read row by row', async (t) => {
  const csv = 'image,label\r\na.jpg,0\nb.jpg,1\r\nc.jpg,"x\ny"\rd.jpg,2\n';
  const found = await read(t, csv, ['a.jpg', 'b.jpg', 'c.jpg', 'd.jpg']);
  assert.deepEqual(
    found.map(({ className }) => className),
    ['0', '1', 'x\ny', '2'],
  );
});
