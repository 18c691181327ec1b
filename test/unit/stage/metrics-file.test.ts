import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  readMetricsFile,
  writeMetricsFile,
  type MetricsFile,
} from '../../../src/stage/metrics-file.ts';
import { temporaryFolder } from '../../support/stage-context.ts';

type Content = Omit<MetricsFile, 'format'>;

function contentWith(value: number): Content {
  const direction = 'higher-is-better';
  return { values: [{ name: 'a', value, unit: '', direction }], notes: [], details: { b: [1] } };
}

test('what is written can be read again, and what cannot be is not written', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'metrics.json');
  const refused = (content: unknown, part: RegExp): Promise<void> =>
    assert.rejects(writeMetricsFile(path, content as Content), {
      name: 'DataError',
      code: 'data/invalid-metrics',
      message: part,
    });
  await refused({}, /metrics\.json cannot be written: [^]*at values/);
  await refused(undefined, /at notes/);
  await refused(contentWith(NaN), /at values\[0\]\.value/);
  await refused(contentWith(Infinity), /at values\[0\]\.value/);
  assert.deepEqual(await readdir(folder), []);
  await writeMetricsFile(path, contentWith(1));
  assert.deepEqual(await readMetricsFile(path), { format: 1, ...contentWith(1) });
});

test('a metrics file that is not there is told by its path', async (t) => {
  const folder = await temporaryFolder(t);
  await assert.rejects(readMetricsFile(join(folder, 'none.json')), {
    name: 'DataError',
    code: 'data/no-metrics',
    message: /none\.json cannot be read: there is no such file$/,
  });
});
