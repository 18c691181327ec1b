import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { makeModel, makeNode, makeTensor, makeValueInfo } from '../../../src/onnx/build.ts';
import {
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
} from '../../../src/onnx/generated/onnx_pb.ts';
import { graphOf } from '../../../src/onnx/model.ts';
import { modelBytes } from '../../../src/onnx/model-size.ts';
import { readOnnx } from '../../../src/onnx/reader.ts';
import { readFloats } from '../../../src/onnx/tensor-data.ts';
import { encodeOnnx } from '../../../src/onnx/writer.ts';
import { openOnnxSession } from '../../../src/runtime/onnx-session.ts';

const WEIGHTS = Float32Array.of(1.5, -2, 0.25, 4);

/** A folder `models` with net.onnx, whose weights are said to lie where `entries` tell. */
async function fixture(t: TestContext, entries: Readonly<Record<string, string>>) {
  const root = await mkdtemp(join(tmpdir(), 'drq-external-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  const folder = join(root, 'models');
  await mkdir(join(folder, 'data'), { recursive: true });
  const weights = makeTensor('w', [4], WEIGHTS);
  weights.rawData = new Uint8Array();
  weights.dataLocation = TensorProto_DataLocation.EXTERNAL;
  weights.externalData = Object.entries(entries).map(([key, value]) =>
    create(StringStringEntryProtoSchema, { key, value }),
  );
  const model = makeModel({
    graphName: 'external',
    opset: 17,
    inputs: [makeValueInfo('x', [4])],
    outputs: [makeValueInfo('y', [4])],
    initializers: [weights],
    nodes: [makeNode({ opType: 'Mul', name: 'm', inputs: ['x', 'w'], outputs: ['y'] })],
  });
  const path = join(folder, 'net.onnx');
  await writeFile(path, encodeOnnx(model));
  return { root, folder, path };
}

const bytes = Buffer.from(WEIGHTS.buffer);

test('data beside the model is read, at its offset, and onnxruntime reads the same', async (t) => {
  const { folder, path } = await fixture(t, {
    location: 'data/net.bin',
    offset: '8',
    length: '16',
  });
  await writeFile(join(folder, 'data', 'net.bin'), Buffer.concat([Buffer.alloc(8, 7), bytes]));
  const model = await readOnnx(path);
  assert.deepEqual(readFloats(graphOf(model).initializer[0]!), WEIGHTS);
  assert.equal(await modelBytes(path), (await stat(path)).size + 24);
  const feeds = { x: { data: Float32Array.of(1, 1, 1, 1), dims: [4] } };
  for (const source of [path, encodeOnnx(model)]) {
    const session = await openOnnxSession(source, { threadCount: 1 });
    assert.deepEqual((await session.run(feeds))['y']?.data, WEIGHTS);
    await session.release();
  }
});

const refused: readonly {
  readonly name: string;
  readonly entries: Readonly<Record<string, string>>;
  readonly message: RegExp;
}[] = [
  {
    name: 'a missing file',
    entries: { location: 'gone.bin' },
    message: /"w" \(FLOAT \[4\]\) names the file "gone.bin", which cannot be found/,
  },
  {
    name: 'a path above the folder',
    entries: { location: '../outside.bin' },
    message: /"..\/outside.bin", which is not in the model's folder/,
  },
  {
    name: 'a path above it by detour',
    entries: { location: 'data/../../outside.bin' },
    message: /not in the model's folder/,
  },
  {
    name: 'an absolute path',
    entries: { location: '/etc/hostname' },
    message: /not in the model's folder/,
  },
  {
    name: 'a link that leaves the folder',
    entries: { location: 'link.bin' },
    message: /not in the model's folder/,
  },
  { name: 'a folder', entries: { location: 'data' }, message: /is no file/ },
  { name: 'no location', entries: { offset: '0' }, message: /names no file/ },
  {
    name: 'a file that ends early',
    entries: { location: 'short.bin', length: '16' },
    message: /ends at byte 16 of "short.bin", which has 10 bytes/,
  },
  {
    name: 'an offset behind the end',
    entries: { location: 'short.bin', offset: '99' },
    message: /ends at byte 99 of "short.bin", which has 10 bytes/,
  },
  {
    name: 'a negative offset',
    entries: { location: 'short.bin', offset: '-4' },
    message: /has the offset "-4", expected a number of bytes/,
  },
];

for (const { name, entries, message } of refused) {
  test(`external data: ${name} is refused by name`, async (t) => {
    const { root, folder, path } = await fixture(t, entries);
    await writeFile(join(root, 'outside.bin'), bytes);
    await writeFile(join(folder, 'short.bin'), bytes.subarray(0, 10));
    await symlink(join(root, 'outside.bin'), join(folder, 'link.bin'));
    await assert.rejects(readOnnx(path), {
      name: 'OnnxError',
      code: 'onnx/external-data',
      message,
    });
  });
}

test('external data: of a model that is a link, what links lead to beside its file is read', async (t) => {
  const { root, folder, path } = await fixture(t, { location: 'link.bin' });
  // As model hubs keep their caches: files by their digest, links by their name.
  const blobs = join(root, 'blobs');
  await mkdir(blobs);
  await rename(path, join(blobs, 'a1'));
  await writeFile(join(blobs, 'b2'), bytes);
  await symlink(join(blobs, 'a1'), path);
  await symlink(join(blobs, 'b2'), join(folder, 'link.bin'));
  const [weights] = graphOf(await readOnnx(path)).initializer;
  assert.deepEqual(readFloats(weights!), WEIGHTS);
  await rm(join(folder, 'link.bin'));
  await writeFile(join(root, 'outside.bin'), bytes);
  await symlink(join(root, 'outside.bin'), join(folder, 'link.bin'));
  await assert.rejects(readOnnx(path), { message: /is not in the model's folder/ });
});
