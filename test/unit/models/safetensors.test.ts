import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { readSafetensors } from '../../../src/models/safetensors.ts';
import { safetensorsBytes } from '../../support/safetensors-fixture.ts';
import { temporaryFolder } from '../../support/stage-context.ts';

async function fileOf(context: TestContext, bytes: Uint8Array): Promise<string> {
  const path = join(await temporaryFolder(context), 'weights.safetensors');
  await writeFile(path, bytes);
  return path;
}

const GOOD = safetensorsBytes({
  a: { dtype: 'F32', shape: [2, 2], data: Float32Array.of(1, -2, 0.5, 4) },
  // binary16 of 1, -2, 65504 (the largest) and 2^-24 (the smallest)
  half: { dtype: 'F16', shape: [4], data: Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0001) },
  // bfloat16 of 1 and -3.140625: the upper halves of their float32
  brain: { dtype: 'BF16', shape: [2], data: Uint16Array.of(0x3f80, 0xc049) },
  num_batches_tracked: { dtype: 'I64', shape: [], data: BigInt64Array.of(7n) },
});

test('floats of three widths are read, counters are left out', async (context) => {
  const { tensors } = await readSafetensors(await fileOf(context, GOOD));
  assert.deepEqual([...tensors.keys()], ['a', 'half', 'brain']);
  assert.deepEqual(tensors.get('a'), { shape: [2, 2], data: Float32Array.of(1, -2, 0.5, 4) });
  assert.deepEqual(tensors.get('half')?.data, Float32Array.of(1, -2, 65504, 2 ** -24));
  assert.deepEqual(tensors.get('brain')?.data, Float32Array.of(1, -3.140625));
});

for (const [what, bytes, pattern] of [
  ['an empty file', Buffer.alloc(0), /ends after 0 of 8 bytes/],
  ['a text file', Buffer.from('this is no weights file'), /does not begin with the length/],
  ['a file cut inside its header', GOOD.subarray(0, 40), /ends inside its header \(40 of/],
  ['a file cut inside a tensor', GOOD.subarray(0, GOOD.length - 10), /ends inside "brain"/],
  [
    'a header that contradicts itself',
    safetensorsBytes({ a: { dtype: 'F32', shape: [3], data: Float32Array.of(1) } }),
    /"a" should hold 12 bytes for shape \[3\], it holds 4/,
  ],
  [
    'a NaN',
    safetensorsBytes({
      'layer.weight': { dtype: 'F32', shape: [2], data: Float32Array.of(1, NaN) },
    }),
    /"layer\.weight" holds NaN at element 1/,
  ],
] as const) {
  test(`${what} is refused with the place`, async (context) => {
    const path = await fileOf(context, bytes);
    await assert.rejects(readSafetensors(path), {
      code: 'models/malformed-weights',
      message: pattern,
    });
  });
}
