import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { readCheckpointFile, writeCheckpointFile } from '../../src/training/checkpoint-file.ts';
import { temporaryFolder } from '../support/stage-context.ts';

test('a checkpoint of more than 2 GiB, as AlexNet at 384 px with AdamW has, is read', async (context) => {
  const path = join(await temporaryFolder(context), 'c');
  const data = new Float32Array(2 ** 26).fill(7, 5, 6);
  const tensors = new Map(
    Array.from({ length: 9 }, (_, i) => [String(i), { length: data.length, read: () => data }]),
  );
  await (await writeCheckpointFile(path, { state: 1, tensors })).finish();
  const found = await readCheckpointFile(path, (content) => content.tensors.get('8')?.read());
  assert.deepEqual(found?.subarray(4, 7), Float32Array.of(0, 7, 0));
});
