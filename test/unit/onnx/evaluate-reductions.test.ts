import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeNode, type AttributeValue } from '../../../src/onnx/build.ts';
import type { ConstantValue } from '../../../src/onnx/constant-value.ts';
import { evaluateNode } from '../../../src/onnx/evaluate.ts';

const rows = (...data: readonly number[]): ConstantValue => ({
  ...{ type: 'float', dims: [2, data.length / 2] },
  data: Float32Array.from(data),
});

function reduced(
  opType: string,
  value: ConstantValue,
  attributes: Readonly<Record<string, AttributeValue>> = { axes: [1], keepdims: 0 },
): readonly number[] | undefined {
  const node = makeNode({ opType, name: 'r', inputs: ['x'], outputs: ['y'], attributes });
  const result = evaluateNode(node, [value]);
  return result === undefined ? undefined : [...result.data];
}

test('norms and logarithms of rows, worked by hand', () => {
  const values = rows(3, -4, 0, 1, 2, -2);
  assert.deepEqual(reduced('ReduceL1', values), [7, 5]);
  assert.deepEqual(reduced('ReduceL2', values), [5, 3]); // √(9 + 16), √(1 + 4 + 4)
  assert.deepEqual(reduced('ReduceSumSquare', values), [25, 9]);
  assert.deepEqual(reduced('ReduceLogSum', rows(1, 0, 0.25, 0.75)), [0, 0]); // ln 1
  const ln3 = Math.fround(Math.log(3));
  assert.deepEqual(reduced('ReduceLogSumExp', rows(0, 0, 0, 1, 1, 1)), [
    ln3,
    Math.fround(1 + Math.log(3)),
  ]);
});

test('a logarithm without a finite result does not follow, nor does a norm of no axes', () => {
  assert.equal(reduced('ReduceLogSum', rows(1, -1, 1, 1)), undefined);
  assert.equal(reduced('ReduceLogSumExp', rows(800, 800, 1, 1)), undefined);
  const none = { noop_with_empty_axes: 1 };
  assert.equal(reduced('ReduceL2', rows(3, -4), none), undefined);
  assert.deepEqual(reduced('ReduceSum', rows(3, -4), none), [3, -4]);
});
