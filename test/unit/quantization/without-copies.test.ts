import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { spacedWithoutCopies } from '../../../src/quantization/without-copies.ts';
import { writeFiles } from '../../support/picture-fixtures.ts';
import { temporaryFolder } from '../../support/stage-context.ts';

test('copies are known by their bytes, and others take their places', async (t) => {
  const folder = await temporaryFolder(t);
  const at = (name: string): string => join(folder, name);
  const content = { used: 'aa', also: 'b', 0: 'ab', 1: 'aa', 2: 'ccc', 3: 'b', 4: 'dd' };
  await writeFiles(
    Object.fromEntries(
      Object.entries(content).map(([name, text]) => [at(name), Buffer.from(text)]),
    ),
  );
  const files = ['0', '1', '2', '3', '4'].map(at);
  const others = ['used', 'also'].map(at);
  assert.deepEqual(await spacedWithoutCopies(files, 5, others), ['0', '2', '4'].map(at));
  assert.deepEqual(await spacedWithoutCopies(files, 2, others), ['0', '2'].map(at));
  assert.deepEqual(await spacedWithoutCopies(files, 1, []), [at('0')]);
  assert.deepEqual(await spacedWithoutCopies(files.slice(1, 2), 1, others), []);
});

test('what cannot be read is left for the decoder to tell, and an abort ends the search', async () => {
  assert.deepEqual(await spacedWithoutCopies(['/nope'], 1, ['/nope']), ['/nope']);
  await assert.rejects(spacedWithoutCopies(['/a'], 1, [], AbortSignal.abort()), {
    code: 'run/interrupted',
  });
});
