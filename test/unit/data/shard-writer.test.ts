import assert from 'node:assert/strict';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openShardReader } from '../../../src/data/image-shards.ts';
import { createShardWriter } from '../../../src/data/shard-writer.ts';
import { temporaryFolder } from '../../support/stage-context.ts';

const UNIT = { mean: [0, 0, 0], std: [1, 1, 1] } as const;

test('what is written is read back, over several shards', async (t) => {
  const folder = await temporaryFolder(t);
  // 3000 x 3000 pixels: 27 MB an image, two in a shard of 64 MiB.
  const size = { width: 3000, height: 3000 };
  const writer = createShardWriter(folder, { ...size, classes: ['a'] });
  const pixels = new Uint8Array(3000 * 3000 * 3);
  for (let i = 0; i < 3; i += 1) {
    pixels.fill(i + 1);
    await writer.append('train', { id: `i${i}`, label: 0, copy: 0 }, pixels);
  }
  await writer.append('test', { id: 't', label: 0, copy: 0 }, pixels.fill(9));
  await writer.finish({ mean: [...UNIT.mean], std: [...UNIT.std] });
  assert.deepEqual((await readdir(folder)).sort(), [
    'images.json',
    'test-00000.bin',
    'train-00000.bin',
    'train-00001.bin',
  ]);
  assert.equal((await stat(join(folder, 'train-00000.bin'))).size, 2 * pixels.length);
  const reader = await openShardReader(folder);
  assert.equal(reader.shards.imagesPerShard, 2);
  for (const [split, index, expected] of [
    ['train', 2, 3],
    ['train', 0, 1],
    ['test', 0, 9],
  ] as const) {
    await reader.read(split, index, pixels);
    assert.deepEqual([pixels[0], pixels.at(-1)], [expected, expected]);
  }
  await reader.close();
});

test('pixels of another size, and a split taken up again, are bugs', async (t) => {
  const options = { width: 1, height: 1, classes: ['a'] };
  const writer = createShardWriter(await temporaryFolder(t), options);
  const entry = { id: 'i', label: 0, copy: 0 };
  await assert.rejects(writer.append('train', entry, new Uint8Array(2)), { code: 'internal/bug' });
  await writer.append('train', entry, new Uint8Array(3));
  await writer.append('test', entry, new Uint8Array(3));
  await assert.rejects(writer.append('train', entry, new Uint8Array(3)), { code: 'internal/bug' });
  await writer.abandon();
});
