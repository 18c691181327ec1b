import assert from 'node:assert/strict';
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { parse } from 'yaml';
import { DataError } from '../../../../src/diagnostics/errors.ts';
import { ingestParameters } from '../../../../stages/ingest/parameters.ts';
import { readSource } from '../../../../stages/ingest/read-source.ts';
import { writeFiles } from '../../../support/picture-fixtures.ts';
import { temporaryFolder } from '../../../support/stage-context.ts';

const PARTS = ['part_1/a1.jpg', 'part_1/a2.jpg', 'part_2/a3.jpg', 'part_2/a4.jpg'];

interface ReadOptions {
  readonly images?: readonly string[];
  readonly parameters?: object;
  readonly skipped?: readonly string[];
}

/** What is read of a source with these files; images need no content to be found. */
async function read(
  t: TestContext,
  files: Readonly<Record<string, string>>,
  { images = PARTS, parameters = {}, skipped = [] }: ReadOptions = {},
): ReturnType<typeof readSource> {
  const root = await temporaryFolder(t);
  const all = { ...files, ...Object.fromEntries(images.map((name) => [name, ''])) };
  await writeFiles(
    Object.fromEntries(Object.entries(all).map(([name, text]) => [join(root, name), text])),
  );
  return readSource(root, ingestParameters.parse(parameters), { shownName: 'source', skipped });
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
  assert.equal(notes.length, 2);
  assert.match(
    notes[0] ?? '',
    /^test\.csv is not read: no columns of image and label .* train\.csv/,
  );
});

const GRADING = 'B. Disease Grading';
const TRAINING_SET = `${GRADING}/1. Original Images/a. Training Set`;
const TESTING_SET = `${GRADING}/1. Original Images/b. Testing Set`;
const TRAINING_LABELS = `${GRADING}/2. Groundtruths/a. IDRiD_Disease Grading_Training Labels.csv`;
const TESTING_LABELS = `${GRADING}/2. Groundtruths/b. IDRiD_Disease Grading_Testing Labels.csv`;

/** IDRiD with the names it ships with, ids of training and test alike; three and two photographs. */
const IDRID = {
  files: {
    [TRAINING_LABELS]:
      'Image name,Retinopathy grade,Risk of macular edema ,,\nIDRiD_001,3,2,,\nIDRiD_002,1,0,,\nIDRiD_003,0,0,,\n',
    [TESTING_LABELS]:
      'Image name,Retinopathy grade,Risk of macular edema \nIDRiD_001,4,0\nIDRiD_002,2,1\n',
    'C. Localization/2. Groundtruths/a. IDRiD_Fovea_Center_Training Set_Markups.csv':
      'Image No,X- Coordinate,Y - Coordinate\nIDRiD_001,2068,1900\n',
  },
  images: [
    'A. Segmentation/1. Original Images/a. Training Set/IDRiD_01.jpg',
    'A. Segmentation/2. All Segmentation Groundtruths/a. Training Set/IDRiD_01_MA.tif',
    ...['001', '002', '003'].flatMap((id) => [
      `${TRAINING_SET}/IDRiD_${id}.jpg`,
      `C. Localization/1. Original Images/a. Training Set/IDRiD_${id}.jpg`,
    ]),
    ...['001', '002'].flatMap((id) => [
      `${TESTING_SET}/IDRiD_${id}.jpg`,
      `C. Localization/1. Original Images/b. Testing Set/IDRiD_${id}.jpg`,
    ]),
  ],
};

for (const layout of ['auto', 'csv']) {
  test(`IDRiD as it ships is read by its labels, whatever its folders are called: ${layout}`, async (t) => {
    const { files, images } = IDRID;
    const found = await read(t, files, { images, parameters: { layout } });
    assert.deepEqual(
      found.images.map(({ id, className, split }) => [id, className, split]),
      [
        [`${TRAINING_SET}/IDRiD_001`, '3', 'train'],
        [`${TRAINING_SET}/IDRiD_002`, '1', 'train'],
        [`${TRAINING_SET}/IDRiD_003`, '0', 'train'],
        [`${TESTING_SET}/IDRiD_001`, '4', 'test'],
        [`${TESTING_SET}/IDRiD_002`, '2', 'test'],
      ],
    );
    const [note] = found.notes;
    assert.match(note ?? '', /^labels are read from CSV files found in the folders, as with csv: /);
    assert.ok(
      note?.includes(
        `{ file: "${TESTING_LABELS}", split: test, imageFolder: "${TESTING_SET}" }]; set csv`,
      ),
    );
  });
}

test('metadata.csv beside the images of each split, or one for all, is read', async (t) => {
  const rows = 'file_name,label\n0.jpg,x\n1.jpg,y\n';
  const names = ['0.jpg', '1.jpg'];
  const images = names.flatMap((name) => [`train/${name}`, `test/${name}`]);
  const both = await read(t, { 'train/metadata.csv': rows, 'test/metadata.csv': rows }, { images });
  assert.deepEqual(
    both.images.map(({ id, className, split }) => [id, className, split]),
    ['test', 'train'].flatMap((split) => [
      [`${split}/0`, 'x', split],
      [`${split}/1`, 'y', split],
    ]),
  );
  const one = await read(
    t,
    { 'data/metadata.csv': rows, 'readme/a.csv': 'a,b\n1,2\n' },
    { images: ['data/0.jpg', 'data/1.jpg', 'other/2.jpg'] },
  );
  assert.deepEqual(
    one.images.map(({ id, split }) => [id, split]),
    [
      ['data/0', undefined],
      ['data/1', undefined],
    ],
  );
});

for (const [name, files, says] of [
  [
    'no split',
    { 'part_1/l.csv': 'image,grade\na1,0\na2,1\n', 'part_2/l.csv': 'image,grade\na3,0\na4,1\n' },
    /part_1\/l\.csv tells no split by its name; part_2\/l\.csv tells/,
  ],
  [
    'two of one split',
    { 'x/train_1.csv': 'image,grade\na1,0\n', 'x/train_2.csv': 'image,grade\na3,0\n' },
    /x\/train_1\.csv is one of several of train; /,
  ],
  ['images that are not there', { 'x/l.csv': 'image,grade\na1,0\nb7,0\n' }, /2 images, 1 found/],
  [
    'images in two folders',
    { 'x/l.csv': 'image,grade\ncopy,0\n' },
    /l\.csv fits the images of part_1\/ and part_2\/$/,
  ],
] as const) {
  test(`label files in folders that may mean several things are refused with the parameter to copy: ${name}`, async (t) => {
    const images = [...PARTS, 'part_1/copy.jpg', 'part_2/copy.jpg'];
    const error = await refused(read(t, files, { images }));
    assert.equal(error.code, 'data/unclear-labels');
    assert.match(error.message, says);
    const parameter = /csv: \[.*\]/.exec(error.hint ?? '')?.[0] ?? '';
    const { csv } = parse(parameter) as { csv: { file: string }[] };
    assert.deepEqual(
      csv.map(({ file }) => file),
      Object.keys(files),
    );
    // What is printed is valid, and where nothing is missing or copied it works.
    const parameters = ingestParameters.parse({ csv });
    if (name === 'no split') {
      assert.equal((await read(t, files, { images, parameters })).images.length, 4);
    }
    const folders = { parameters: { layout: 'class-folders' }, images };
    assert.equal((await read(t, files, folders)).images[0]?.className, 'part_1');
  });
}

test('CSV files in folders that name no images, or only numbers as classes do, change nothing', async (t) => {
  const images = ['cat/0.jpg', 'cat/1.jpg', 'cat/2.jpg', 'dog/3.jpg', 'dog/4.jpg'];
  const files = {
    'docs/classes.csv': 'id,class\n0,cat\n1,dog\n',
    'docs/ages.csv': 'name,grade\nAnna,2\n',
    'docs/broken.csv': 'image,grade\n"0,',
  };
  const { images: found, notes } = await read(t, files, { images });
  assert.equal(found[0]?.className, 'cat');
  assert.deepEqual(notes, []);
});

test('a tree of splits and classes is read as such whatever CSV lies in it', async (t) => {
  const images = ['train/cat/a.jpg', 'train/dog/b.jpg', 'test/cat/c.jpg', 'test/dog/d.jpg'];
  const files = { 'train/labels.csv': 'image,label\na.jpg,x\nb.jpg,y\n' };
  const found = await read(t, files, { images });
  assert.deepEqual(
    new Set(found.images.map(({ className }) => className)),
    new Set(['cat', 'dog']),
  );
});

test('label files that are no CSV are named where nothing is read, or but one class', async (t) => {
  const says = /is not read; labels in such a file have to be given as a CSV with a header line/;
  const flat = { images: ['train/0.jpg', 'train/1.jpg'] };
  const jsonl = await refused(read(t, { 'train/metadata.jsonl': '{}' }, flat));
  assert.match(jsonl.message, /is not a dataset; .*; train\/metadata\.jsonl is not read/);
  const txt = await refused(read(t, { 'train.txt': '0.jpg 1' }, flat));
  assert.match(txt.message, says);
  const one = await read(t, { 'grades.xlsx': '' }, { images: ['Images/a.jpg', 'Images/b.jpg'] });
  assert.match(
    one.notes.join(),
    /^all images \(2\) are of one class, Images: a model .*; grades\.xlsx is not read/,
  );
  assert.deepEqual((await read(t, { 'grades.xlsx': '' })).notes, []);
});

test('files of formats that are not read are counted, in folders and archives', async (t) => {
  const files = { 'part_1/x.ppm': '', 'part_1/y.PPM': '', 'part_2/z.dcm': '', 'part_2/raw': '' };
  const others = { 'part_1/notes.txt': '', 'part_2/Thumbs.db': '', LICENSE: '', 'a.json': '' };
  const { notes } = await read(t, { ...files, ...others });
  const note =
    'files of formats that are not read are left out: 2 .ppm, 1 without extension, 1 .dcm; convert photographs among them to PNG or JPEG';
  assert.deepEqual(notes, [note]);
  assert.deepEqual((await read(t, {}, { skipped: Object.keys(files) })).notes, [note]);
  assert.deepEqual((await read(t, others)).notes, []);
  const none = await refused(read(t, files, { images: [] }));
  assert.match(none.message, /is not a dataset; it holds part_1\/, part_2\/; .*left out: 2 \.ppm/);
});

test('class folders that all hold the same folders are told of', async (t) => {
  const tree = (...folders: string[]): string[] =>
    folders.flatMap((name) => [`${name}/cat/a.jpg`, `${name}/dog/b.jpg`]);
  const { notes } = await read(t, {}, { images: tree('images', 'masks') });
  assert.equal(notes.length, 1);
  assert.match(notes[0] ?? '', /^the class folders images, masks all hold .*, cat, dog: /);
  const splits = await read(t, {}, { images: tree('train/images', 'train/masks', 'test/images') });
  assert.match(splits.notes.join(), /^the class folders images, masks all hold/);
  for (const images of [
    ['cat/images/a.jpg', 'dog/images/b.jpg'],
    [...tree('images', 'masks'), 'masks/c.jpg'],
    [...tree('images', 'masks'), 'masks/cow/c.jpg'],
  ]) {
    assert.deepEqual((await read(t, {}, { images })).notes, []);
  }
  const csv =
    'image,label\nimages/cat/a.jpg,x\nmasks/cat/a.jpg,y\nimages/dog/b.jpg,x\nmasks/dog/b.jpg,y\n';
  const labelled = await read(t, { 'labels.csv': csv }, { images: tree('images', 'masks') });
  assert.deepEqual(labelled.notes, []);
});

test('images that no row of any label file names are told of, once', async (t) => {
  const files = { 'train.csv': 'image,label\na1,0\na3,1\n', 'test.csv': 'image,label\na2,0\n' };
  const { notes } = await read(t, files);
  assert.deepEqual(notes, [
    '1 of 4 images is named by no row of test.csv, train.csv, such as part_2/a4.jpg, and left out',
  ]);
  const csv = [{ file: 'train.csv' }];
  assert.deepEqual((await read(t, files, { parameters: { csv } })).notes, [
    '2 of 4 images are named by no row of train.csv, such as part_1/a2.jpg, and left out',
  ]);
  const inFolder = { csv: [{ file: 'test.csv', imageFolder: 'part_1' }] };
  const [inFolderNote, oneClass = ''] = (await read(t, files, { parameters: inFolder })).notes;
  assert.equal(
    inFolderNote,
    '1 of 2 images is named by no row of test.csv, such as part_1/a1.jpg, and left out',
  );
  assert.match(oneClass, /^all images \(1\) are of one class, 0: /);
  const all = { 'labels.csv': 'image,label\na1,0\na2,0\na3,1\na4,1\n' };
  assert.deepEqual((await read(t, all)).notes, []);
});

test('an image that is named by one of its two paths is named', async (t) => {
  const root = await temporaryFolder(t);
  await writeFiles({
    [join(root, 'images/a.jpg')]: '',
    [join(root, 'images/b.jpg')]: '',
    [join(root, 'labels.csv')]: 'image,label\nimages/a.jpg,0\nimages/b.jpg,1\n',
  });
  await symlink(join(root, 'images'), join(root, 'all'));
  const { notes } = await readSource(root, ingestParameters.parse({}), {
    shownName: 'source',
    skipped: [],
  });
  assert.deepEqual(notes, []);
});

test('two label files of the same images are both named', async (t) => {
  const files = { 'a.csv': 'image,label\na1,0\na2,1\n', 'b.csv': 'image,label\na2,1\na3,1\n' };
  const error = await refused(read(t, files));
  assert.equal(error.code, 'data/repeated-image');
  assert.equal(
    error.message,
    '1 image(s) are labelled by both a.csv and b.csv, such as part_1/a2.jpg',
  );
  assert.match(error.hint ?? '', /the parameter csv, such as csv: \[\{ file: b\.csv \}\]/);
  const csv = [{ file: 'b.csv' }];
  assert.equal((await read(t, files, { parameters: { csv } })).images.length, 2);
});

const ONE_HOT = 'image,MEL,NV\na1,1.0,0.0\na2,0.0,1.0\na3,1.0,0.0\na4,0.0,1.0\n';
const LABELS = 'image,label\na1,0\na2,1\na3,0\na4,1\n';

test('one column a class is read at the top and in folders, where no other file has labels', async (t) => {
  for (const name of ['truth.csv', 'truth/truth.csv']) {
    const { images, notes } = await read(t, { [name]: ONE_HOT });
    assert.deepEqual(
      images.map(({ className }) => className),
      ['MEL', 'NV', 'MEL', 'NV'],
    );
    assert.match(notes.join('\n'), /the columns "MEL", "NV" of .*truth\.csv are read as a class/);
    const labels = { [name.replace('truth.csv', 'labels.csv')]: LABELS };
    const both = await read(t, { [name]: ONE_HOT, ...labels });
    assert.deepEqual(
      both.images.map(({ className }) => className),
      ['0', '1', '0', '1'],
    );
  }
});

test('rows of no class are told of, too', async (t) => {
  const { message } = await refused(read(t, { 'truth.csv': `${ONE_HOT}a4,0,0\n` }));
  assert.match(message, /truth\.csv has no column recognised as labelColumn.*line 6 has no 1/);
});
