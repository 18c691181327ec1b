import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import {
  GraphProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
} from '../../../src/onnx/generated/onnx_pb.ts';
import { cloneModel, graphOf } from '../../../src/onnx/model.ts';
import { decodeOnnx } from '../../../src/onnx/reader.ts';
import { encodeOnnx } from '../../../src/onnx/writer.ts';
import { fuzzedModel } from '../../support/fuzz-onnx.ts';
import { sharedMaterial } from '../../support/shared-material.ts';

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
