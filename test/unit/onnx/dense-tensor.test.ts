import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { makeTensor } from '../../../src/onnx/build.ts';
import { denseTensor } from '../../../src/onnx/dense-tensor.ts';
import { SparseTensorProtoSchema } from '../../../src/onnx/generated/onnx_pb.ts';
import { graphOf, type Initializer } from '../../../src/onnx/model.ts';
import { dimsOf, readFloats, readIntegers } from '../../../src/onnx/tensor-data.ts';
import { encodeOnnx } from '../../../src/onnx/writer.ts';
import { prepareModel } from '../../../src/quantization/prepare-model.ts';
import { nodeSpec, normalValues, run, smallModel } from '../../support/quantize-one.ts';

const sparse = (dims: readonly number[], values: Initializer, indices: Initializer) =>
  create(SparseTensorProtoSchema, { dims: dims.map(BigInt), values, indices });
const floats = (...data: readonly number[]) =>
  makeTensor('w', [data.length], Float32Array.from(data));
const places = (dims: readonly number[], ...data: readonly number[]) =>
  makeTensor('places', dims, BigInt64Array.from(data, BigInt));

test('values stand where linear indices and coordinates say', () => {
  const expected = [0, 0, 1.5, -2, 0, 0];
  const linear = denseTensor('w', sparse([2, 3], floats(1.5, -2), places([2], 2, 3)))!;
  assert.deepEqual(dimsOf(linear), [2, 3]);
  assert.deepEqual([...readFloats(linear)], expected);
  const paired = sparse([2, 3], floats(1.5, -2), places([2, 2], 0, 2, 1, 0));
  assert.deepEqual([...readFloats(denseTensor('w', paired)!)], expected);
  const integers = sparse([3], places([1], 7), places([1], 1));
  assert.deepEqual(readIntegers(denseTensor('w', integers)!), [0, 7, 0]);
  const empty = sparse([2], floats(), places([0]));
  assert.deepEqual([...readFloats(denseTensor('w', empty)!)], [0, 0]);
});

test('absurd sizes and places outside are refused by name', () => {
  const message = (dims: readonly number[], values: Initializer, indices: Initializer): string => {
    try {
      denseTensor('w', sparse(dims, values, indices));
    } catch (error) {
      return String(error);
    }
    return 'nothing';
  };
  const one = floats(1);
  assert.match(message([2 ** 20, 2 ** 20], one, places([1], 0)), /"w" .*1099511627776 elements/);
  assert.match(message([-1], one, places([1], 0)), /elements written out/);
  assert.match(message([2, 3], one, places([1], 6)), /value at 6 on an axis of 6/);
  assert.match(message([2, 3], one, places([1, 2], 2, 0)), /value at 2 on an axis of 2/);
  assert.match(message([2, 3], one, places([1, 3], 0, 0, 0)), /3 coordinates, expected 2/);
  assert.match(message([2, 3], one, places([2], 0, 1)), /1 values at 2 places/);
});

test('a convolution with a sparse initializer computes the same with a dense one', async () => {
  const input = [1, 3, 4, 4];
  const model = smallModel({ nodes: [nodeSpec('Conv', ['input', 'w'], 'y')], input, output: 'y' });
  graphOf(model).sparseInitializer.push(
    sparse([2, 3, 1, 1], floats(0.5, -1, 2), places([3], 0, 2, 4)),
  );
  const prepared = prepareModel(model);
  assert.deepEqual(
    graphOf(prepared).initializer.map((tensor) => [...readFloats(tensor)]),
    [[0.5, 0, -1, 0, 2, 0]],
  );
  assert.equal(graphOf(prepared).sparseInitializer.length, 0);
  const values = normalValues('input', 48);
  const sized = smallModel({ nodes: [], input, output: 'y' });
  const [expected, actual] = [
    (await run(encodeOnnx(model), sized, values, 'disabled'))['y'],
    (await run(encodeOnnx(prepared), sized, values, 'disabled'))['y'],
  ];
  assert.deepEqual(actual, expected);
});
