import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { NodeSpec } from '../../src/onnx/build.ts';
import {
  nodeSpec as node,
  normalTensor,
  normalValues,
  quantizeOne,
  smallModel,
} from '../support/quantize-one.ts';

const EXCLUDED = 'it was excluded by parameter';

/** Reasons of the float nodes by name, of `nodes` between two convolutions in integers. */
async function reasonsOf(t: TestContext, nodes: readonly NodeSpec[], excluded: readonly string[]) {
  const model = smallModel({
    input: [1, 8, 6, 6],
    output: 'y',
    nodes: [node('Conv', ['input', 'w1'], 'c1'), ...nodes, node('Conv', ['m', 'w1'], 'y')],
    tensors: ['w1', 'w2', 'w3'].map((name) => normalTensor(name, [8, 8, 1, 1], 0.3)),
  });
  const input = normalValues('input', 8 * 36);
  const { optimized } = await quantizeOne(t, model, input, { excluded: new Set(excluded) });
  return Object.fromEntries(optimized.floatNodes.map(({ node, reason }) => [node, reason]));
}

for (const activation of ['LeakyRelu', 'Tanh', 'Sigmoid']) {
  test(`a float layer has its own name and reason with ${activation} fused to it`, async (t) => {
    const nodes = [node('Conv', ['c1', 'w2'], 'c2'), node(activation, ['c2'], 'm')];
    const reasons = await reasonsOf(t, nodes, ['c2']);
    assert.equal(reasons['c2'], EXCLUDED, JSON.stringify(reasons));
  });
}

test('a pool behind a float layer is not called as the layer', async (t) => {
  const nodes = [
    node('Conv', ['c1', 'w2'], 'c2'),
    node('MaxPool', ['c2'], 'p', { kernel_shape: [2, 2] }),
    node('Tanh', ['p'], 'm'),
  ];
  const reasons = await reasonsOf(t, nodes, ['c2']);
  assert.equal(reasons['c2'], EXCLUDED);
  assert.match(reasons['p'] ?? '', /did not fuse/);
});

test('two float layers whose sum is fused to one of them are both named', async (t) => {
  const nodes = [
    node('Conv', ['c1', 'w2'], 'c2'),
    node('Conv', ['c1', 'w3'], 'c3'),
    node('Add', ['c2', 'c3'], 's'),
    node('Relu', ['s'], 'm'),
  ];
  const reasons = await reasonsOf(t, nodes, ['c2', 'c3', 's']);
  assert.equal(reasons['c2'], EXCLUDED, JSON.stringify(reasons));
  assert.equal(reasons['c3'], EXCLUDED, JSON.stringify(reasons));
});

test('a sum of two linear layers says that their results are float', async (t) => {
  const model = smallModel({
    input: [1, 8],
    output: 'y',
    nodes: [
      node('Gemm', ['input', 'w1'], 'g1'),
      node('Gemm', ['input', 'w2'], 'g2'),
      node('Add', ['g1', 'g2'], 's'),
      node('Gemm', ['s', 'w1'], 'y'),
    ],
    tensors: ['w1', 'w2'].map((name) => normalTensor(name, [8, 8], 0.3)),
  });
  const { optimized } = await quantizeOne(t, model, normalValues('input', 8));
  const reason = optimized.floatNodes.find(({ node }) => node === 's')?.reason;
  assert.match(reason ?? '', /^its inputs are float: a Gemm/);
});
