import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeSpec } from '../../../src/onnx/build.ts';
import { graphOf } from '../../../src/onnx/model.ts';
import { leftInput } from '../../../src/quantization/left-input.ts';
import { markGraph } from '../../../src/quantization/mark-graph.ts';
import { quantizeModel, type QuantizedModel } from '../../../src/quantization/quantize-model.ts';
import { returnOrder } from '../../../src/quantization/return-order.ts';
import { leftFractionOf, type LayerSensitivity } from '../../../src/quantization/sensitivity.ts';
import { nodeSpec as node, normalTensor, smallModel } from '../../support/quantize-one.ts';

const WEIGHTS = ['wa', 'wb', 'wc', 'wd'].map((name) => normalTensor(name, [4, 4, 1, 1], 0.3));

const modelOf = (nodes: readonly NodeSpec[]) =>
  smallModel({ input: [1, 4, 4, 4], output: 'y', nodes, tensors: WEIGHTS });

function quantizedOf(nodes: readonly NodeSpec[]): QuantizedModel {
  const model = modelOf(nodes);
  const names = [...markGraph(graphOf(model)).tensors.keys()];
  const tensors = Object.fromEntries(names.map((name) => [name, { min: -3, max: 3 }]));
  return quantizeModel(
    model,
    { tensors },
    { granularity: 'per-channel', weightRange: 'max', target: 'vnni', firstConvolution: 'keep' },
  );
}

const harm = (layer: string, leftFraction: number): LayerSensitivity => ({
  layer,
  operator: 'Conv',
  weightSqnrDb: 40,
  inputSqnrDb: 20,
  outputSqnrDb: 20,
  klDivergence: 0,
  agreementFraction: 1,
  leftFraction,
});

const HEAD = [
  node('Conv', ['input', 'wa'], 'a'),
  node('Conv', ['input', 'wb'], 'b'),
  node('Concat', ['a', 'b'], 'joined', { axis: 2 }),
  node('GlobalAveragePool', ['joined'], 'p'),
  node('Conv', ['p', 'wc'], 'y'),
];

test('a layer that what is left rounded harms little returns alone, its SQNR of inputs notwithstanding', async () => {
  const order = await returnOrder(quantizedOf(HEAD), [harm('y', 0.1), harm('a', 0), harm('b', 0)]);
  assert.deepEqual(order, [['y'], ['a'], ['b']]);
});

test('the layers that make a harming input are one group with the layer', async () => {
  const quantized = quantizedOf(HEAD);
  const all = await returnOrder(quantized, [harm('y', 0.9), harm('a', 0), harm('b', 0)]);
  assert.deepEqual(
    all.map((group) => group.sort()),
    [['a', 'b', 'y']],
  );
  const rest = await returnOrder(quantized, [harm('a', 0.1), harm('y', 0.9), harm('b', 0)]);
  assert.deepEqual(rest, [['a'], ['y', 'b']]);
});

test('they do not return where others need the input in codes', async () => {
  const order = await returnOrder(
    quantizedOf([
      node('Conv', ['input', 'wa'], 'a'),
      node('Conv', ['a', 'wb'], 'b'),
      node('Conv', ['a', 'wc'], 'c'),
      node('Add', ['b', 'c'], 'y'),
    ]),
    [harm('c', 1), harm('b', 1), harm('a', 0)],
  );
  // With the second of its readers the maker does free the tensor.
  assert.deepEqual(order, [['c'], ['b', 'a']]);
});

test('what is left of an input lies before the nodes that only feed the layer', () => {
  const graph = graphOf(modelOf(HEAD));
  const { tensors, between } = leftInput(graph, graph.node.at(-1)!); // the head
  assert.deepEqual([...tensors].sort(), ['a', 'b']);
  assert.deepEqual(
    between.map(({ name }) => name),
    ['joined', 'p'],
  );
  const makers = leftInput(graph, graph.node.at(-1)!, new Set(['a', 'b']));
  assert.deepEqual(makers.tensors, []);
});

test('the share that is left is between nothing and all', () => {
  assert.equal(leftFractionOf({ signal: 9, noise: 4 }, { signal: 9, noise: 1 }), 0.25);
  assert.equal(leftFractionOf({ signal: 9, noise: 4 }, { signal: 9, noise: 5 }), 1);
  assert.equal(leftFractionOf({ signal: 9, noise: 0 }, { signal: 9, noise: 0 }), 0);
  assert.equal(leftFractionOf({ signal: 9, noise: Infinity }, { signal: 9, noise: 1 }), 0);
  assert.equal(leftFractionOf({ signal: 9, noise: Infinity }, { signal: 9, noise: Infinity }), 1);
});
