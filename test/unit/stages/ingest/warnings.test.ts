import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readMetricsFile } from '../../../../src/stage/metrics-file.ts';
import { fill, makeSource, runIngest as run } from '../../../support/ingest-source.ts';
import { makeJpeg, withOrientation } from '../../../support/picture-fixtures.ts';

test('folders with images beside the split folders are told of', async (t) => {
  const source = await makeSource(t, {
    ...fill(['train/0', 'train/1', 'test/0', 'test/1', 'holdout/0', 'bird'], 3),
    'docs/readme.txt': '',
  });
  const { index, warnings } = await run(t, source, { validationFraction: 0 });
  assert.equal(index.images.length, 12);
  assert.equal(warnings.length, 1);
  assert.match(
    warnings[0] ?? '',
    /^images in bird\/, holdout\/ are left out: .*SPLIT\/CLASS\/IMAGE$/,
  );
});

test('a split that would stay empty is told of, with what would fill it', async (t) => {
  const source = await makeSource(t, fill(['0', '1', '2'], 3));
  const { counts, warnings } = await run(t, source);
  assert.deepEqual([counts['validationImageCount'], counts['testImageCount']], [0, 0]);
  assert.equal(warnings.length, 2);
  assert.match(
    warnings[0] ?? '',
    /^validation gets no image though validationFraction is 0\.15: .* from 4 images on, but the largest has 3;/,
  );
  assert.match(warnings[1] ?? '', /^test gets no image though testFraction is 0\.15: /);
  const none = { validationFraction: 0, testFraction: 0 };
  assert.deepEqual((await run(t, source, none)).warnings, []);
  const given = await makeSource(t, fill(['train/0', 'train/1', 'test/0', 'test/1'], 3));
  assert.match(
    (await run(t, given)).warnings.join('\n'),
    /^validation gets no image .*largest has 3;.*$/,
  );
  const grouped = await makeSource(t, fill(['P1', 'P2'], 8));
  assert.match(
    (await run(t, grouped, { groupPattern: '(P[0-9])/' })).warnings[0] ?? '',
    /^validation gets no image .*: groups and equal images stay together/,
  );
});

test('images in no class folder are told of: a test folder without labels above all', async (t) => {
  const source = await makeSource(t, {
    ...fill(['train/0', 'train/1', 'test'], 4),
    'train/stray.png': '',
  });
  const { index, warnings } = await run(t, source, { validationFraction: 0 });
  assert.equal(index.images.length, 8);
  assert.match(
    warnings[0] ?? '',
    /^images that lie in no class folder are left out: 4 directly in test\/, 1 directly in train\/; /,
  );
  const flat = await makeSource(t, { ...fill(['0', '1'], 8), 'logo.png': '' });
  assert.match((await run(t, flat)).warnings[0] ?? '', /left out: 1 beside the folders; /);
});

test('splits without test are told of before anything is trained', async (t) => {
  const source = await makeSource(t, fill(['train/0', 'train/1', 'val/0', 'val/1'], 4));
  const { warnings } = await run(t, source);
  assert.equal(warnings.length, 1);
  assert.match(
    warnings[0] ?? '',
    /^the source gives splits \(train, validation\) but no labelled image of test, .* set their parameter split to validation, or give the source images for test/,
  );
  const alone = await makeSource(t, fill(['train/0', 'train/1'], 8));
  const [warning, ...others] = (await run(t, alone)).warnings;
  assert.match(warning ?? '', /splits \(train\) but no .*; give the source images for test/);
  assert.deepEqual(others, []);
});

test('images that viewers show turned are told of, in the report too', async (t) => {
  const source = await makeSource(t, {
    ...fill(['train/0', 'train/1', 'test/0', 'test/1'], 4),
    'train/0/side.jpg': await withOrientation(await makeJpeg(900), 6),
    'train/1/mirrored.jpg': await withOrientation(await makeJpeg(901), 2),
    'train/1/upright.jpg': await withOrientation(await makeJpeg(902), 1),
  });
  const { warnings, outputs } = await run(t, source, { validationFraction: 0 });
  assert.equal(warnings.length, 1);
  assert.match(
    warnings[0] ?? '',
    /^2 images carry an EXIF orientation .* as they are stored, .*: train\/0\/side, train\/1\/mirrored; .*turn the files themselves/,
  );
  const { notes } = await readMetricsFile(outputs['report']!); // a declared output
  assert.deepEqual(notes, warnings);
});
