import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { readCalibrationTable } from '../../../src/quantization/calibration-table.ts';
import { writeFiles } from '../../support/picture-fixtures.ts';
import { temporaryFolder } from '../../support/stage-context.ts';

test('a table that cannot be read is told apart from a file that is none', async (t) => {
  const folder = await temporaryFolder(t);
  const at = (name: string): string => join(folder, name);
  await writeFiles({ [at('text.json')]: 'text', [at('other.json')]: '{}' });
  await assert.rejects(readCalibrationTable(at('nope.json')), {
    name: 'DataError',
    code: 'quantization/no-table',
    message: `the calibration table ${at('nope.json')} cannot be read: there is no such file`,
  });
  await assert.rejects(readCalibrationTable(folder), {
    message: /cannot be read: it is a folder$/,
  });
  await assert.rejects(readCalibrationTable(at('text.json')), {
    code: 'quantization/invalid-table',
    message: `${at('text.json')} is not a calibration table: it is not JSON`,
  });
  await assert.rejects(readCalibrationTable(at('other.json')), {
    code: 'quantization/invalid-table',
  });
});
