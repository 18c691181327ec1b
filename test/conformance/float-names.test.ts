import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { makeTensor, type NodeSpec } from '../../src/onnx/build.ts';
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

const NAMELESS: Readonly<Record<string, NodeSpec>> = {
  Abs: node('Abs', ['c1'], 'm'),
  ReduceMean: node('ReduceMean', ['c1'], 'r', { axes: [1], keepdims: 1 }),
  ThresholdedRelu: node('ThresholdedRelu', ['c1'], 'm', { alpha: { float: 0.3 } }),
  Softmax: node('Softmax', ['c1'], 'm', { axis: 1 }),
  Resize: node('Resize', ['c1', '', 'scales'], 'm', { mode: 'linear' }),
};

for (const [operator, spec] of Object.entries(NAMELESS)) {
  test(`${operator} in float is told where no node has a name`, async (t) => {
    const [output = ''] = spec.outputs;
    const nodes = [
      node('Conv', ['input', 'w'], 'c1'),
      spec,
      ...(output === 'm' ? [] : [node('Concat', ['c1', output], 'm', { axis: 1 })]),
      node('Conv', ['m', output === 'm' ? 'w' : 'w9'], 'y'),
    ];
    const model = smallModel({
      input: [1, 8, 6, 6],
      output: 'y',
      nodes: nodes.map((named) => ({ ...named, name: '' })),
      tensors: [
        normalTensor('w', [8, 8, 1, 1], 0.3),
        normalTensor('w9', [8, 9, 1, 1], 0.3),
        makeTensor('scales', [4], Float32Array.of(1, 1, 1.5, 1.5)),
      ],
    });
    const { optimized } = await quantizeOne(t, model, normalValues('input', 8 * 36));
    assert.equal(optimized.operators[operator], 1, JSON.stringify(optimized.operators));
    const told = optimized.floatNodes.filter((float) => float.operator !== 'Max'); // the shield
    assert.deepEqual(
      told.map((float) => [float.node, float.operator]),
      [[`${operator} → ${output}`, operator]],
    );
    assert.doesNotMatch(told[0]?.reason ?? '', /did not fuse/);
  });
}

/** What is told of x · HardSigmoid(x) between two linear layers, whose results are float. */
const GATES: Readonly<Record<string, readonly [readonly NodeSpec[], readonly string[]]>> = {
  HardSwish: [[node('HardSwish', ['g'], 'h')], ['h']],
  'HardSigmoid and Mul': [
    [node('HardSigmoid', ['g'], 's'), node('Mul', ['g', 's'], 'h')],
    ['s', 'h'],
  ],
};

for (const [form, [gate, told]] of Object.entries(GATES)) {
  test(`${form} behind a linear layer is told as it stands in the model`, async (t) => {
    const model = smallModel({
      input: [1, 8],
      output: 'y',
      nodes: [node('Gemm', ['input', 'w1'], 'g'), ...gate, node('Gemm', ['h', 'w2'], 'y')],
      tensors: ['w1', 'w2'].map((name) => normalTensor(name, [8, 8], 0.3)),
    });
    const { optimized } = await quantizeOne(t, model, normalValues('input', 8));
    assert.deepEqual(
      optimized.floatNodes.map((float) => [float.node, float.operator]),
      gate.map(({ opType }, i) => [told[i], opType]),
    );
  });
}

test('a HardSwish behind a convolution can be left in float by its name', async (t) => {
  const nodes = [{ ...node('HardSwish', ['c1'], 'm'), name: 'swish' }];
  assert.equal((await reasonsOf(t, nodes, ['swish']))['swish'], EXCLUDED);
});
