import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeValueInfo, type NodeSpec } from '../../src/onnx/build.ts';
import { opsetOf } from '../../src/onnx/check.ts';
import { graphOf, type Initializer } from '../../src/onnx/model.ts';
import { encodeOnnx } from '../../src/onnx/writer.ts';
import { prepareModel } from '../../src/quantization/prepare-model.ts';
import { normalValues, run, smallModel } from './quantize-one.ts';

/** A graph from `input` to `y` and the operators that are left of it. */
export interface PreparedForm {
  readonly name: string;
  readonly input: readonly number[];
  readonly nodes: readonly NodeSpec[];
  readonly tensors: readonly Initializer[];
  readonly operators: readonly string[];
  readonly opset?: number;
  /** Name of a dynamic batch. */
  readonly batch?: string;
}

/** A test that the prepared graph has these operators and computes the same. */
export function testPrepared({
  name,
  input,
  nodes,
  tensors,
  operators,
  opset,
  batch,
}: PreparedForm): void {
  test(`${name}: the prepared model computes the same`, async () => {
    const model = smallModel({
      nodes,
      input,
      output: 'y',
      ...(tensors.length === 0 ? {} : { tensors }),
      ...(opset === undefined ? {} : { opset }),
    });
    if (batch !== undefined)
      graphOf(model).input = [makeValueInfo('input', [batch, ...input.slice(1)])];
    const before = encodeOnnx(model);
    const prepared = prepareModel(model);
    assert.deepEqual(encodeOnnx(model), before, 'the model itself is unchanged');
    assert.deepEqual(
      graphOf(prepared).node.map(({ opType }) => opType),
      operators,
    );
    assert.ok(opsetOf(prepared) >= 13);
    const values = normalValues(
      'input',
      input.reduce((a, b) => a * b, 1),
    );
    const sized = smallModel({ nodes: [], input, output: 'y' }); // tells the size to run at
    const expected = (await run(before, sized, values, 'disabled'))['y']!;
    const actual = (await run(encodeOnnx(prepared), sized, values, 'disabled'))['y']!;
    assert.equal(actual.length, expected.length);
    for (const [i, value] of expected.entries()) {
      assert.ok(Math.abs(value - actual[i]!) <= 1e-4 * Math.max(1, Math.abs(value)), `${i}`);
    }
  });
}
