import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { maskedCrc32c, writeEventFile } from '../../../src/training/tensorboard-events.ts';
import { temporaryFolder } from '../../support/stage-context.ts';

test("checksums are TensorBoard's own", () => {
  // tensorboard.compat.tensorflow_stub.pywrap_tensorflow.masked_crc32c
  assert.equal(maskedCrc32c(Buffer.from('123456789')), 0xc78ab0e5);
  assert.equal(maskedCrc32c(Buffer.alloc(0)), 0xa282ead8);
});

test('an event is framed and encoded as event.proto says', async (context) => {
  const folder = await temporaryFolder(context);
  await writeEventFile(folder, [{ tag: 'lr', step: 3, value: 0.5, wallTimeSeconds: 2 }]);
  const [name = ''] = await readdir(folder);
  assert.equal(name, 'events.out.tfevents.0000000002.drq');
  const bytes = await readFile(join(folder, name));
  const records: Buffer[] = [];
  for (let offset = 0; offset < bytes.length;) {
    const length = Number(bytes.readBigUInt64LE(offset));
    assert.equal(bytes.readUInt32LE(offset + 8), maskedCrc32c(bytes.subarray(offset, offset + 8)));
    const data = bytes.subarray(offset + 12, offset + 12 + length);
    assert.equal(bytes.readUInt32LE(offset + 12 + length), maskedCrc32c(data));
    records.push(data);
    offset += length + 16;
  }
  assert.equal(records.length, 2);
  assert.ok(records[0]?.includes('brain.Event:2'));
  // 09: wall_time as double 2; 10 03: step; 2a 0b: summary; 0a 09: value; 0a 02 "lr"; 15: 0.5 as float
  assert.equal(
    records[1]?.toString('hex'),
    '09' + '0000000000000040' + '1003' + '2a0b' + '0a09' + '0a026c72' + '150000003f',
  );
});
