import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeSpec } from '../../../src/onnx/build.ts';
import { indexGraph } from '../../../src/onnx/graph-edit.ts';
import { graphOf } from '../../../src/onnx/model.ts';
import { readBoundsOf } from '../../../src/quantization/read-bounds.ts';
import { smallModel } from '../../support/quantize-one.ts';

const of = (opType: string, name: string, ...inputs: string[]): NodeSpec => ({
  opType,
  name,
  inputs,
  outputs: [name],
});

function boundsOf(tensor: string, ...nodes: NodeSpec[]): readonly [number, number] {
  const output = nodes.at(-1)!.outputs[0]!;
  const model = smallModel({ input: [1, 4], output, nodes, tensors: [] });
  const { low, high } = readBoundsOf(tensor, indexGraph(graphOf(model)));
  return [low, high];
}

const X = of('Neg', 'x', 'input');

test('what a gate cuts off is no part of the range: the code of σ(-6.5) is 0', () => {
  assert.ok(Math.round(255 / (1 + Math.exp(6.5))) === 0);
  const silu = [of('Sigmoid', 's', 'x'), of('Mul', 'y', 'x', 's')];
  assert.deepEqual(boundsOf('x', X, ...silu), [-6.5, Infinity]);
  assert.deepEqual(boundsOf('x', X, silu[0]!, of('Mul', 'y', 's', 'x')), [-6.5, Infinity]);
  // Squeeze-and-excite: something else is multiplied.
  assert.deepEqual(boundsOf('x', X, silu[0]!, of('Mul', 'y', 'input', 's')), [-6.5, 6.5]);
});

test('values that something else reads, or that scores are made of, are kept', () => {
  const all = [-Infinity, Infinity];
  const silu = [of('Sigmoid', 's', 'x'), of('Mul', 'm', 'x', 's')];
  assert.deepEqual(boundsOf('x', X, ...silu, of('Add', 'y', 'm', 'x')), all);
  assert.deepEqual(boundsOf('x', X, of('Sigmoid', 's', 'x')), all);
  assert.deepEqual(boundsOf('x', X, of('Sigmoid', 's', 'x'), of('Flatten', 'y', 's')), all);
  assert.deepEqual(boundsOf('x', X, ...silu, of('Add', 'y', 'm', 's')), all);
});
