import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { readWeightsFile } from '../../../src/models/read-weights-file.ts';
import { readSafetensors } from '../../../src/models/safetensors.ts';
import { safetensorsBytes } from '../../support/safetensors-fixture.ts';
import { temporaryFolder } from '../../support/stage-context.ts';

async function fileOf(context: TestContext, bytes: Uint8Array): Promise<string> {
  const path = join(await temporaryFolder(context), 'weights.safetensors');
  await writeFile(path, bytes);
  return path;
}

/** Four float32 of data, and the tensors of one axis that lie there by name. */
function placed(places: Readonly<Record<string, readonly [number, number]>>): Buffer {
  const header = Object.entries(places).map(([name, [start, end]]) => {
    return [
      name,
      { dtype: 'F32', shape: [(end - start) / 4], data_offsets: [start, end] },
    ] as const;
  });
  const text = JSON.stringify(Object.fromEntries(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, Buffer.from(text), Buffer.alloc(16)]);
}

const GOOD = safetensorsBytes({
  a: { dtype: 'F32', shape: [2, 2], data: Float32Array.of(1, -2, 0.5, 4) },
  // binary16 of 1, -2, 65504 (the largest) and 2^-24 (the smallest)
  half: { dtype: 'F16', shape: [4], data: Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0001) },
  // bfloat16 of 1 and -3.140625: the upper halves of their float32
  brain: { dtype: 'BF16', shape: [2], data: Uint16Array.of(0x3f80, 0xc049) },
  double: { dtype: 'F64', shape: [1], data: Float64Array.of(0.1) },
  num_batches_tracked: { dtype: 'I64', shape: [], data: BigInt64Array.of(7n) },
});

test('floats of four widths are read, counters are left out', async (context) => {
  const { tensors } = await readSafetensors(await fileOf(context, GOOD));
  assert.deepEqual([...tensors.keys()], ['a', 'half', 'brain', 'double']);
  assert.deepEqual(tensors.get('a'), { shape: [2, 2], data: Float32Array.of(1, -2, 0.5, 4) });
  assert.deepEqual(tensors.get('half')?.data, Float32Array.of(1, -2, 65504, 2 ** -24));
  assert.deepEqual(tensors.get('brain')?.data, Float32Array.of(1, -3.140625));
  assert.deepEqual(tensors.get('double'), { shape: [1], data: Float32Array.of(0.1) });
});

test("the wrappers of PyTorch's models are dropped from every name, or from none", async (context) => {
  const tensor = { dtype: 'F32', shape: [1], data: Float32Array.of(1) };
  const count = { dtype: 'F32', shape: [], data: Float32Array.of(7) };
  const namesOf = async (...names: string[]): Promise<string[]> => {
    const tensors = names.map((name) => [name, name === 'n_averaged' ? count : tensor] as const);
    const bytes = safetensorsBytes(Object.fromEntries(tensors));
    return [...(await readWeightsFile(await fileOf(context, bytes))).tensors.keys()];
  };
  assert.deepEqual(await namesOf('module.a', 'module.b'), ['a', 'b']);
  assert.deepEqual(await namesOf('_orig_mod.a.weight'), ['a.weight']);
  assert.deepEqual(await namesOf('module._orig_mod.a'), ['a']);
  assert.deepEqual(await namesOf('module.a', 'b'), ['module.a', 'b']);
  // A count that was cast to float with all else.
  assert.deepEqual(await namesOf('n_averaged', 'module.a'), ['a']);
  assert.deepEqual(await namesOf('n_averaged'), ['n_averaged']);
});

test('tensors may lie in any order, and empty ones anywhere', async (context) => {
  const bytes = placed({ b: [8, 16], none: [8, 8], a: [0, 8], last: [16, 16] });
  const { tensors } = await readSafetensors(await fileOf(context, bytes));
  assert.deepEqual([...tensors.keys()], ['b', 'none', 'a', 'last']);
});

for (const [what, bytes, pattern] of [
  ['an empty file', Buffer.alloc(0), /ends after 0 of 8 bytes/],
  ['a text file', Buffer.from('this is no weights file'), /does not begin with the length/],
  ['a file cut inside its header', GOOD.subarray(0, 40), /ends inside its header \(40 of/],
  ['a file cut inside a tensor', GOOD.subarray(0, GOOD.length - 10), /ends inside "double"/],
  [
    'a header that contradicts itself',
    safetensorsBytes({ a: { dtype: 'F32', shape: [3], data: Float32Array.of(1) } }),
    /"a" should hold 12 bytes for shape \[3\], it holds 4/,
  ],
  [
    'the same bytes for two tensors',
    placed({ a: [0, 16], b: [0, 16] }),
    /"b" has bytes 0 to 16 of its data, and those before it end at 16/,
  ],
  ['tensors that overlap', placed({ b: [4, 16], a: [0, 8] }), /"b" has bytes 4 to 16/],
  ['a hole', placed({ a: [0, 4], b: [8, 16] }), /no tensor has bytes 4 to 8 of its data/],
  ['bytes that are no tensor at the end', placed({ a: [0, 12] }), /4 bytes follow its last tensor/],
  [
    'floats of eight bits',
    safetensorsBytes({ a: { dtype: 'F8_E4M3', shape: [1], data: Uint8Array.of(1) } }),
    /"a" has type F8_E4M3, which is not read/,
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
