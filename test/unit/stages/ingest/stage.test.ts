import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readMetricsFile } from '../../../../src/stage/metrics-file.ts';
import { ingest } from '../../../../stages/ingest/stage.ts';
import { fill, makeSource, refused, runIngest as run } from '../../../support/ingest-source.ts';
import { makeJpeg, makePngHeader, makeZip } from '../../../support/picture-fixtures.ts';
import { runStage, temporaryFolder } from '../../../support/stage-context.ts';

test('class folders without splits are shared out, and the files are there', async (t) => {
  const source = await makeSource(t, fill(['10', '9'], 10));
  const parameters = { validationFraction: 0.2, testFraction: 0.2 };
  const { index, counts, outputs } = await run(t, source, parameters);
  assert.deepEqual(index.classes, ['9', '10']);
  assert.deepEqual(
    [counts['trainImageCount'], counts['validationImageCount'], counts['testImageCount']],
    [12, 4, 4],
  );
  assert.ok(index.images.every(({ file }) => existsSync(join(outputs['dataset']!, file))));
  assert.deepEqual(
    index.images.map(({ id }) => id),
    index.images.map(({ id }) => id).sort(),
  );
  // The same again gives the same index.
  assert.deepEqual((await run(t, source, parameters)).index, index);
});

test('validation is taken from train where only train and test are given', async (t) => {
  const source = await makeSource(t, fill(['train/0', 'train/1', 'test/0', 'test/1'], 10));
  const { counts } = await run(t, source, { validationFraction: 0.3 });
  assert.deepEqual(
    [counts['trainImageCount'], counts['validationImageCount'], counts['testImageCount']],
    [14, 6, 20],
  );
  const none = await run(t, source, { validationFraction: 0 });
  assert.equal(none.counts['validationImageCount'], 0);
});

test('a CSV with group and split columns is read, the group kept', async (t) => {
  const source = await makeSource(t, {
    ...fill(['images'], 6),
    'labels.csv':
      'image,level,patient,split\np0,0,A,train\np1,0,A,train\np2,1,B,train\np3,1,B,train\np4,0,C,test\np5,1,D,val\n',
  });
  const { index } = await run(t, source, { groupColumn: 'patient', splitColumn: 'split' });
  assert.deepEqual(
    index.images.map(({ id, label, split, group }) => [id, label, split, group]),
    [
      ['images/p0', 0, 'train', 'A'],
      ['images/p1', 0, 'train', 'A'],
      ['images/p2', 1, 'train', 'B'],
      ['images/p3', 1, 'train', 'B'],
      ['images/p4', 0, 'test', 'C'],
      ['images/p5', 1, 'validation', 'D'],
    ],
  );
});

test('APTOS as it ships: image folders beside CSVs, one of them without labels', async (t) => {
  const source = await makeSource(t, {
    ...fill(['train_images', 'test_images'], 4),
    'train.csv': 'id_code,diagnosis\np0,0\np1,0\np2,1\np3,1\n',
    'test.csv': 'id_code\np0\n',
    'sample_submission.csv': 'id_code,diagnosis\np0,0\n',
  });
  const parameters = { csv: [{ file: 'train.csv', imageFolder: 'train_images' }] };
  const { index } = await run(t, source, { ...parameters, validationFraction: 0, testFraction: 0 });
  assert.deepEqual(
    index.images.map(({ id, label }) => [id, label]),
    ['p0', 'p1', 'p2', 'p3'].map((name, i) => [`train_images/${name}`, i < 2 ? 0 : 1]),
  );
});

test('groups found in the path by a pattern are not split', async (t) => {
  const files = Object.fromEntries(
    Array.from({ length: 24 }, (_, i) => [`${i % 2}/P${Math.floor(i / 4)}_${i}.jpg`, i] as const),
  );
  const { index } = await run(t, await makeSource(t, files), {
    groupPattern: '(P\\d+)_',
    validationFraction: 0.3,
    testFraction: 0.3,
  });
  const splits = new Map<string, Set<string>>();
  for (const { group = '', split } of index.images) {
    splits.set(group, (splits.get(group) ?? new Set()).add(split));
  }
  assert.equal(splits.size, 6);
  assert.ok([...splits.values()].every((set) => set.size === 1));
  assert.equal(new Set(index.images.map(({ split }) => split)).size, 3);
});

test('equal photographs never stand in two of the splits it makes', async (t) => {
  const files = Object.fromEntries(
    Array.from({ length: 20 }, (_, i) => [`0/p${i}.jpg`, i % 4] as const),
  );
  const { index, counts } = await run(t, await makeSource(t, files), { minimumImagesPerClass: 0 });
  assert.equal(counts['duplicateCount'], 4);
  const splitOf = new Map(index.images.map(({ sha256, split }) => [sha256, split]));
  assert.ok(index.images.every(({ sha256, split }) => splitOf.get(sha256) === split));
});

test('duplicates, conflicts and leaks are found and told', async (t) => {
  const source = await makeSource(t, {
    ...fill(['train/0', 'train/1', 'test/0', 'test/1'], 5),
    'train/0/same-a.jpg': 900,
    'train/0/same-b.jpg': 900,
    'train/0/conflict.jpg': 901,
    'train/1/conflict.jpg': 901,
    'train/0/leak.jpg': 902,
    'test/0/leak.jpg': 902,
  });
  const { index, counts, warnings } = await run(t, source, { validationFraction: 0 });
  assert.deepEqual(
    [counts['duplicateCount'], counts['labelConflictCount'], counts['leakCount']],
    [1, 1, 1],
  );
  const ids = index.images.map(({ id }) => id);
  assert.ok(ids.includes('train/0/same-b') && ids.includes('test/0/leak'));
  assert.ok(!ids.some((id) => /conflict|train\/0\/leak/.test(id)));
  assert.equal(warnings.length, 3);
  const error = await refused(run(t, source, { findings: { leaks: 'error' } }));
  assert.match(error.message, /several splits: test\/0\/leak, train\/0\/leak/);
  assert.match(error.hint ?? '', /findings\.leaks/);
});

test('unreadable files stop it, all named at once; exclude leaves them out', async (t) => {
  const whole = await makeJpeg(50, 200, 150);
  const source = await makeSource(t, {
    ...fill(['0', '1'], 5),
    '0/text.jpg': 'no photograph',
    '1/cut.jpg': whole.subarray(0, whole.length / 2),
    '1/huge.png': makePngHeader(30_000, 30_000),
  });
  const error = await refused(run(t, source));
  assert.equal(error.code, 'data/unreadable-image');
  for (const part of [/0\/text/, /1\/cut/, /1\/huge.*900 megapixels.*limitMegapixels/]) {
    assert.match(error.message, part);
  }
  const { index, counts } = await run(t, source, { findings: { unreadable: 'exclude' } });
  assert.equal(index.images.length, 10);
  assert.equal(counts['unreadableCount'], 3);
});

test('an empty class and one too small are refused, or told', async (t) => {
  const source = await makeSource(t, { ...fill(['0', '1'], 8), '2/notes.txt': '', '3/a.jpg': 70 });
  const error = await refused(run(t, source));
  assert.match(error.message, /class folder 2 has no image/);
  assert.match(error.message, /class 3 has \d training image\(s\), at least 2 expected/);
  const { index } = await run(t, source, { findings: { smallClasses: 'warn' } });
  assert.deepEqual(index.classes, ['0', '1', '2', '3']);
});

test('given class names fix the order; one not named is refused', async (t) => {
  const source = await makeSource(t, fill(['healthy', 'ill'], 4));
  const { index } = await run(t, source, { classes: ['ill', 'healthy'] });
  assert.deepEqual(index.classes, ['ill', 'healthy']);
  assert.equal(index.images.find(({ id }) => id.startsWith('ill'))?.label, 0);
  const error = await refused(run(t, source, { classes: ['ill'] }));
  assert.match(error.message, /does not name: healthy/);
});

test('a zip is a source; its sha256 is checked when given', async (t) => {
  const entries = await Promise.all(
    Array.from({ length: 12 }, async (_, i) => ({
      name: `set/${i % 2}/p${i}.jpg`,
      content: await makeJpeg(i),
    })),
  );
  const path = join(await temporaryFolder(t), 'set.zip');
  await writeFile(path, makeZip(entries));
  const { index } = await run(t, path);
  assert.equal(index.images.length, 12);
  assert.ok(index.images.every(({ id }) => /^[01]\/p\d+$/.test(id)));
  const error = await refused(run(t, path, { sha256: '0'.repeat(64) }));
  assert.equal(error.code, 'data/wrong-sha256');
});

test('what is no dataset is told with what was expected', async (t) => {
  const empty = await refused(run(t, await makeSource(t, { 'readme.txt': '' })));
  assert.match(empty.message, /is not a dataset; it holds readme\.txt$/);
  assert.match(empty.hint ?? '', /one folder a class/);
  const missing = await refused(run(t, join(await temporaryFolder(t), 'nowhere')));
  assert.equal(missing.code, 'data/no-source');
  const csv = await makeSource(t, { 'l.csv': 'image,level\na,0\n' });
  assert.equal((await refused(run(t, join(csv, 'l.csv')))).code, 'data/csv-without-images');
  assert.equal((await refused(run(t, undefined, { layout: 'csv' }))).exitCode, 2);
});

test('drawn photographs: seven grades, as many as asked, the same for a seed', async (t) => {
  const imagesPerClass = { train: 3, validation: 1, test: 2 };
  const parameters = { generate: { imagesPerClass, sizePx: 48, seed: 4 } };
  const { index, counts } = await run(t, undefined, parameters);
  assert.equal(index.classes.length, 7);
  assert.deepEqual(
    [counts['trainImageCount'], counts['validationImageCount'], counts['testImageCount']],
    [21, 7, 14],
  );
  assert.equal(new Set(index.images.map(({ sha256 }) => sha256)).size, 42);
  assert.deepEqual((await run(t, undefined, parameters)).index, index);
});

test('it stops when asked to', async (t) => {
  const source = await makeSource(t, fill(['0', '1'], 4));
  const running = runStage(t, ingest, {
    inputs: { source: { kind: 'folder', path: source } },
    signal: AbortSignal.abort(),
  });
  await assert.rejects(running, { code: 'run/interrupted' });
});

test('parameters that cannot be are refused by name', () => {
  const paths = (parameters: object): string[] =>
    (ingest.parameters.safeParse(parameters).error?.issues ?? []).map((i) => i.path.join('.'));
  assert.deepEqual(paths({ url: 'https://example.org/a.zip' }), ['sha256']);
  assert.deepEqual(paths({ validationFraction: 0.5, testFraction: 0.5 }), ['testFraction']);
  assert.deepEqual(paths({ classes: ['a', 'a', 'b'] }), ['classes']);
  for (const groupPattern of ['(a', 'a', '(a)(b)']) {
    assert.deepEqual(paths({ groupPattern }), ['groupPattern'], groupPattern);
  }
  assert.deepEqual(paths({ groupPattern: '(P\\d+)_' }), []);
});

test('columns of a CSV that is not read are refused, and groups that are none told', async (t) => {
  const source = await makeSource(t, fill(['a', 'b'], 6));
  const unused = await refused(run(t, source, { groupColumn: 'patient', splitColumn: 'split' }));
  assert.equal(unused.code, 'data/unused-column');
  assert.match(unused.message, /^splitColumn, groupColumn name columns of a CSV, but/);
  const layout = 'class-folders';
  assert.equal(
    (await refused(run(t, source, { layout, labelColumn: 'grade' }))).code,
    'data/unused-column',
  );
  const none = await refused(run(t, source, { groupPattern: '(P[0-9]+)_' }));
  assert.equal(none.code, 'data/no-groups');
  assert.match(none.message, /gives no group for any of 12 images, such as a\/p0/);
  const { warnings } = await run(t, source, { groupPattern: 'a/p([0-9])' });
  assert.match(
    warnings.join('\n'),
    /gives no group for 6 of 12 images, such as b\/p0; each of them is a group of its own/,
  );
  assert.deepEqual((await run(t, source, { groupPattern: 'p([0-9])' })).warnings, []);
});

test('an archive that is no dataset is called by its own name', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'notes.zip');
  await writeFile(path, makeZip([{ name: 'notes.txt', content: Buffer.from('text') }]));
  const { code, message } = await refused(run(t, path));
  assert.equal(code, 'data/no-images');
  assert.match(message, /notes\.zip is not a dataset; it holds no images and no CSV$/);
});

test('a CSV in another encoding stops it only where it holds the labels', async (t) => {
  const notes = Buffer.from('Größe;Gerät\n1;2\n', 'latin1');
  const beside = await makeSource(t, { ...fill(['0', '1'], 8), 'notes.csv': notes });
  assert.equal((await run(t, beside)).index.images.length, 16);
  const labels = 'image,label\np0,Kühe\np1,Köhe\n';
  for (const csv of [Buffer.from(labels, 'latin1'), Buffer.from(`\uFEFF${labels}`, 'utf16le')]) {
    const source = await makeSource(t, { ...fill(['images'], 2), 'labels.csv': csv });
    const error = await refused(run(t, source));
    assert.equal(error.code, 'data/invalid-csv');
    assert.match(error.hint ?? '', /CSV UTF-8/);
  }
});

test('a CSV of very many rows is read', async (t) => {
  const csv = `image,label\n${'p0,0\n'.repeat(200_000)}`;
  const source = await makeSource(t, { ...fill(['images'], 1), 'labels.csv': csv });
  assert.equal((await refused(run(t, source))).code, 'data/repeated-image');
});

test('beside folders called like the splits, label files may name paths from the source', async (t) => {
  const rows = (folder: string): string =>
    [0, 1, 2, 3].map((i) => `${folder}p${i}.jpg,${i % 2}\n`).join('');
  const source = await makeSource(t, {
    ...fill(['train', 'test'], 4),
    'train.csv': `path,label\n${rows('train/')}`,
    'test.csv': `path,label\n${rows('')}`,
  });
  const parameters = { validationFraction: 0 };
  const { index } = await run(t, source, parameters);
  assert.deepEqual(
    index.images.map(({ id, split }) => [id, split]),
    ['test', 'train'].flatMap((split) => [0, 1, 2, 3].map((i) => [`${split}/p${i}`, split])),
  );
  await writeFile(join(source, 'train.csv'), 'path,label\ntrain/p0.jpg,0\ntrain/p9.jpg,0\n');
  const missing = await refused(run(t, source, parameters));
  assert.match(
    missing.message,
    /^1 of 2 images named in train\.csv are not in train or the source folder: train\/p9\.jpg$/,
  );
  const csv = [{ file: 'train.csv', imageFolder: 'train' }];
  assert.match((await refused(run(t, source, { csv }))).message, /^2 of 2 .* are not in train: /);
});

test('unreadable images are left out by warn too, which says so', async (t) => {
  const source = await makeSource(t, { ...fill(['0', '1'], 5), '0/text.jpg': 'no photograph' });
  const { index, warnings, outputs } = await run(t, source, { findings: { unreadable: 'warn' } });
  assert.equal(index.images.length, 10);
  assert.deepEqual(warnings, ['1 x unreadable image (excluded); see the report']);
  const { details } = await readMetricsFile(outputs['report']!);
  assert.match(JSON.stringify(details), /"unreadable":\{"count":1,.*"action":"exclude"/);
});
