import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { makeModel, makeNode, makeTensor, makeValueInfo } from '../../../src/onnx/build.ts';
import {
  GraphProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
} from '../../../src/onnx/generated/onnx_pb.ts';
import { cloneModel, graphOf } from '../../../src/onnx/model.ts';
import { createRandom } from '../../../src/numeric/random.ts';
import { decodeOnnx, readOnnx } from '../../../src/onnx/reader.ts';
import { readFloats, viewFloats } from '../../../src/onnx/tensor-data.ts';
import { encodeOnnx, writeOnnx } from '../../../src/onnx/writer.ts';
import { fuzzedModel } from '../../support/fuzz-onnx.ts';
import { sharedMaterial } from '../../support/shared-material.ts';
import { temporaryFolder } from '../../support/stage-context.ts';
import { tinyConvnet } from '../../support/tiny-convnet.ts';

test('what is no model or no path is told as such, read or written', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'none.onnx');
  await assert.rejects(readOnnx(path), {
    name: 'OnnxError',
    code: 'onnx/cannot-read',
    message: `the ONNX model ${path} cannot be read: there is no such file`,
  });
  await assert.rejects(readOnnx(folder), { message: /cannot be read: it is a folder$/ });
  for (const none of [undefined, '', 5, Buffer.from('model.onnx')]) {
    await assert.rejects(readOnnx(none as string), {
      name: 'UsageError',
      code: 'onnx/read-arguments',
    });
  }
  const model = tinyConvnet();
  for (const [target, reason] of [
    [folder, 'it is a folder'],
    [join(folder, 'missing', 'm.onnx'), 'its folder does not exist'],
  ] as const) {
    await assert.rejects(writeOnnx(target, model), {
      name: 'OnnxError',
      code: 'onnx/cannot-write',
      message: `the ONNX model ${target} cannot be written: ${reason}`,
    });
  }
  const wrong: readonly (readonly [unknown, unknown, RegExp])[] = [
    [model, path, /received them in the other order$/],
    [path, 'x', /its second argument must be a model$/],
    [path, undefined, /its second argument must be a model$/],
    [undefined, model, /its first argument must be the path to write to$/],
    ['', model, /its first argument must be the path to write to$/],
  ];
  for (const [first, second, message] of wrong) {
    await assert.rejects(writeOnnx(first as string, second as typeof model), {
      name: 'UsageError',
      code: 'onnx/write-arguments',
      message,
    });
  }
});

/** A field as protobuf writes it: tag, then a varint or bytes with their length. */
function field(number: number, content: bigint | Uint8Array): Buffer {
  const varint = (value: bigint): number[] =>
    value < 128n ? [Number(value)] : [Number(value & 127n) | 128, ...varint(value >> 7n)];
  const tag = (wireType: number): number[] => varint(BigInt(number * 8 + wireType));
  return typeof content === 'bigint'
    ? Buffer.from([...tag(0), ...varint(content)])
    : Buffer.from([...tag(2), ...varint(BigInt(content.length)), ...content]);
}

const unknownFields = fc
  .array(
    fc
      .tuple(
        fc.integer({ min: 1000, max: 50_000 }),
        fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.uint8Array({ maxLength: 40 })),
      )
      .map(([number, content]) => field(number, content)),
    { maxLength: 3 },
  )
  .map((fields) => Buffer.concat(fields));

test('a read and a write keep every byte, fields that onnx.proto does not know included', () => {
  const model = fuzzedModel();
  const graph = graphOf(model);
  const inputs = Buffer.concat(
    // Everything of the graph but its nodes (field 1, the first).
    [toBinary(GraphProtoSchema, { ...graph, node: [] })],
  );
  fc.assert(
    fc.property(unknownFields, unknownFields, unknownFields, (inModel, inGraph, inNode) => {
      const nodes = graph.node.map((node) =>
        field(1, Buffer.concat([toBinary(NodeProtoSchema, node), inNode])),
      );
      // By ascending field number: ir_version, graph, opset_import.
      const bytes = Buffer.concat([
        field(1, model.irVersion),
        field(7, Buffer.concat([...nodes, inputs, inGraph])),
        ...model.opsetImport.map((entry) => field(8, toBinary(OperatorSetIdProtoSchema, entry))),
        inModel,
      ]);
      const written = encodeOnnx(cloneModel(decodeOnnx(bytes, 'model.onnx')));
      assert.ok(bytes.equals(written), 'the bytes are the same');
    }),
    { numRuns: 60 },
  );
});

test('a model of another writer stays the same to the byte', async (t) => {
  const path = sharedMaterial(t, 'models', 'mobilenet_v2_idrid.onnx');
  if (path === null) return;
  const bytes = await readFile(path);
  assert.ok(bytes.equals(encodeOnnx(decodeOnnx(bytes, path))));
});

test('weights read from a file lie where float32 can view them, and are the same', async (t) => {
  const path = join(await temporaryFolder(t), 'model.onnx');
  const random = createRandom(4, 'weights');
  // Names of all lengths, so that weights begin at every remainder; 30 and 32 floats take one and two
  // bytes of length.
  const initializers = Array.from({ length: 40 }, (_, i) =>
    makeTensor(
      'w'.repeat(1 + (i % 9)) + String(i),
      [i % 2 === 0 ? 30 + (i % 3) : 200],
      Float32Array.from({ length: i % 2 === 0 ? 30 + (i % 3) : 200 }, () => random.normal()),
    ),
  );
  const model = makeModel({
    ...{ graphName: 'g', opset: 17, initializers },
    nodes: [
      makeNode({
        ...{ opType: 'Concat', name: 'n', attributes: { axis: 0 } },
        ...{ inputs: initializers.map(({ name }) => name), outputs: ['y'] },
      }),
    ],
    inputs: [],
    outputs: [makeValueInfo('y', ['n'])],
  });
  await writeOnnx(path, model);
  const bytes = await readFile(path);
  const read = await readOnnx(path);
  for (const [i, tensor] of graphOf(read).initializer.entries()) {
    assert.deepEqual(viewFloats(tensor), readFloats(initializers[i]!));
    if (tensor.rawData.length >= 128) assert.equal(tensor.rawData.byteOffset % 4, 0);
  }
  assert.ok(bytes.equals(encodeOnnx(read)), 'the bytes are the same');
});
