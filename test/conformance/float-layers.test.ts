import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSqnrAccumulator } from '../../src/metrics/sqnr.ts';
import { makeTensor, type NodeSpec } from '../../src/onnx/build.ts';
import {
  nodeSpec as node,
  normalTensor,
  normalValues,
  quantizeOne,
  smallModel,
} from '../support/quantize-one.ts';

/** Weights [8, 8, 1, 1] of which one output channel is 200 times the others: one scale is too few. */
function unevenWeights() {
  const values = normalValues('uneven', 64, 0.3);
  for (let i = 0; i < 8; i += 1) values[i]! *= 200; // 64 values
  return makeTensor('w2', [8, 8, 1, 1], values);
}

for (const activation of ['none', 'Relu', 'MaxPool']) {
  test(`a layer left in float runs in float (behind it ${activation})`, async (t) => {
    const model = smallModel({
      input: [1, 8, 6, 6],
      output: 'y',
      nodes: [
        node('Conv', ['input', 'w1', 'b'], 'c1'),
        node('Conv', ['c1', 'w2', 'b'], 'c2'),
        ...(activation === 'none'
          ? []
          : [
              node(
                activation,
                ['c2'],
                'a',
                activation === 'MaxPool' ? { kernel_shape: [2, 2] } : {},
              ),
            ]),
        node('Conv', [activation === 'none' ? 'c2' : 'a', 'w3', 'b'], 'y'),
      ],
      tensors: [
        makeTensor('w1', [8, 8, 1, 1], normalValues('w1', 64, 0.3)),
        unevenWeights(),
        // The large channel is not read, so the output is what the small ones are.
        makeTensor(
          'w3',
          [8, 8, 1, 1],
          normalValues('w3', 64).map((value, i) => (i % 8 === 0 ? value / 200 : value)),
        ),
        makeTensor('b', [8], new Float32Array(8)),
      ],
    });
    const input = normalValues('input', 8 * 36);
    const result = await quantizeOne(t, model, input, { excluded: new Set(['c2']) });
    // Two of the three layers run in integers, and onnxruntime has quantized no third by itself.
    assert.equal(result.optimized.operators['com.microsoft.QLinearConv'], 2);
    const noise = createSqnrAccumulator();
    noise.add(result.unfused['y']!, result.fused['y']!);
    assert.ok((noise.finishDb() ?? Infinity) > 40, String(noise.finishDb()));
    const reasons = result.optimized.floatNodes.map(({ operator, reason }) => [operator, reason]);
    assert.ok(
      reasons.some(([operator, reason]) => operator === 'Max' && reason!.startsWith('keeps')),
      JSON.stringify(reasons),
    );
  });
}

const BETWEEN: Readonly<Record<string, readonly NodeSpec[]>> = {
  MaxPool: [node('MaxPool', ['a'], 'm', { kernel_shape: [2, 2] })],
  Reshape: [node('Reshape', ['a', 'rows'], 'm')],
  Slice: [node('Slice', ['a', 'from', 'to', 'rowAxis'], 'm')],
  Transpose: [node('Transpose', ['a'], 'm', { perm: [0, 1, 3, 2] })],
  'Unsqueeze, Transpose, Squeeze': [
    node('Unsqueeze', ['a', 'from'], 'm1'),
    node('Transpose', ['m1'], 'm2', { perm: [0, 1, 2, 4, 3] }),
    node('Squeeze', ['m2', 'from'], 'm'),
  ],
  'MaxPool, Transpose': [
    node('MaxPool', ['a'], 'm1', { kernel_shape: [2, 2] }),
    node('Transpose', ['m1'], 'm', { perm: [0, 1, 3, 2] }),
  ],
  'MaxPool, Relu': [
    node('MaxPool', ['a'], 'm1', { kernel_shape: [2, 2] }),
    node('Relu', ['m1'], 'm'),
  ],
  Flatten: [node('Flatten', ['a'], 'f'), node('Reshape', ['f', 'rows'], 'm')],
  Pad: [node('Pad', ['a', 'pads'], 'm', { mode: 'reflect' })],
  Resize: [node('Resize', ['a', '', 'scales'], 'm', { mode: 'nearest' })],
  Gather: [node('Gather', ['a', 'order'], 'm', { axis: 1 })],
  DepthToSpace: [
    node('DepthToSpace', ['a'], 'd', { blocksize: 2 }),
    node('SpaceToDepth', ['d'], 'm', { blocksize: 2 }),
  ],
  Split: [
    { opType: 'Split', name: 's', inputs: ['a'], outputs: ['s1', 's2'], attributes: { axis: 1 } },
    node('Concat', ['s2', 's1'], 'm', { axis: 1 }),
  ],
  ReduceMax: [node('ReduceMax', ['a'], 'm', { axes: [2] })],
  Tile: [node('Tile', ['a', 'twice'], 'm')],
  AveragePool: [node('AveragePool', ['a'], 'm', { kernel_shape: [2, 2] })],
};

const integers = (name: string, values: readonly number[]) =>
  makeTensor(name, [values.length], BigInt64Array.from(values, BigInt));

/** conv c1 → conv c2 (→ Relu) → `between` → conv y; all in integers but what is excluded. */
function withBetween(between: readonly NodeSpec[], activation: 'none' | 'Relu') {
  return smallModel({
    input: [1, 8, 6, 6],
    output: 'y',
    nodes: [
      node('Conv', ['input', 'w1'], 'c1'),
      { ...node('Conv', ['c1', 'w2'], activation === 'none' ? 'a' : 'c2'), name: 'c2' },
      ...(activation === 'none' ? [] : [node(activation, ['c2'], 'a')]),
      ...between,
      node('Conv', ['m', 'w3'], 'y'),
    ],
    tensors: [
      ...['w1', 'w2', 'w3'].map((name) => normalTensor(name, [8, 8, 1, 1], 0.3)),
      integers('rows', [1, 8, 4, 9]),
      integers('from', [0]),
      integers('to', [3]),
      integers('rowAxis', [2]),
      integers('pads', [0, 0, 1, 1, 0, 0, 1, 1]),
      integers('twice', [1, 1, 2, 2]),
      makeTensor('scales', [4], Float32Array.of(1, 1, 2, 2)),
      integers('order', [7, 6, 5, 4, 3, 2, 1, 0]),
    ],
  });
}

for (const [between, nodes] of Object.entries(BETWEEN)) {
  test(`a layer left in float runs in float with ${between} behind it`, async (t) => {
    for (const activation of ['none', 'Relu'] as const) {
      const model = withBetween(nodes, activation);
      const input = normalValues('input', 8 * 36);
      const { optimized } = await quantizeOne(t, model, input, { excluded: new Set(['c2']) });
      assert.equal(optimized.operators['com.microsoft.QLinearConv'], 2);
      const reason = optimized.floatNodes.find(({ node }) => node === 'c2')?.reason;
      assert.equal(reason, 'it was excluded by parameter');
    }
  });
}

test('a layer left in float with a pool in front of it runs in float', async (t) => {
  const model = smallModel({
    input: [1, 8, 6, 6],
    output: 'y',
    nodes: [
      node('Conv', ['input', 'w1'], 'c1'),
      node('MaxPool', ['c1'], 'p', { kernel_shape: [2, 2] }),
      node('Conv', ['p', 'w2'], 'c2'),
      node('Conv', ['c2', 'w3'], 'y'),
    ],
    tensors: ['w1', 'w2', 'w3'].map((name) => normalTensor(name, [8, 8, 1, 1], 0.3)),
  });
  const { optimized } = await quantizeOne(t, model, normalValues('input', 8 * 36), {
    excluded: new Set(['p', 'c2']),
  });
  assert.equal(optimized.operators['com.microsoft.QLinearConv'], 2);
});

for (const operator of ['LeakyRelu', 'Sigmoid', 'Softmax']) {
  test(`${operator} left in float runs in float, with a pool behind it too`, async (t) => {
    for (const pool of [[], [node('MaxPool', ['s'], 'p', { kernel_shape: [2, 2] })]]) {
      const model = smallModel({
        input: [1, 8, 6, 6],
        output: 'y',
        nodes: [
          node('Conv', ['input', 'w1'], 'c1'),
          node(operator, ['c1'], 's'),
          ...pool,
          node('Conv', [pool.length === 0 ? 's' : 'p', 'w2'], 'y'),
        ],
        tensors: ['w1', 'w2'].map((name) => normalTensor(name, [8, 8, 1, 1], 0.3)),
      });
      const { optimized } = await quantizeOne(t, model, normalValues('input', 8 * 36), {
        excluded: new Set(['s']),
      });
      assert.equal(optimized.operators[operator], 1, JSON.stringify(optimized.operators));
    }
  });
}

test('a GELU between layers in integers is one operator in float', async (t) => {
  const model = smallModel({
    input: [1, 8, 6, 6],
    output: 'y',
    nodes: [
      node('Conv', ['input', 'w1'], 'c1'),
      node('Mul', ['c1', 'narrow'], 's'),
      node('Erf', ['s'], 'e'),
      node('Add', ['e', 'one'], 'a'),
      node('Mul', ['c1', 'a'], 'm'),
      node('Mul', ['m', 'half'], 'g'),
      node('Conv', ['g', 'w2'], 'y'),
    ],
    tensors: [
      makeTensor('w1', [8, 8, 1, 1], normalValues('w1', 64, 0.3)),
      makeTensor('w2', [8, 8, 1, 1], normalValues('w2', 64, 0.3)),
      makeTensor('narrow', [], Float32Array.of(Math.SQRT1_2)),
      makeTensor('one', [], Float32Array.of(1)),
      makeTensor('half', [], Float32Array.of(0.5)),
    ],
  });
  const result = await quantizeOne(t, model, normalValues('input', 8 * 36));
  assert.equal(result.optimized.operators['com.microsoft.QLinearConv'], 2);
  assert.equal(result.optimized.operators['com.microsoft.Gelu'], 1);
  assert.deepEqual(
    result.optimized.floatNodes.map(({ node, operator, reason }) => [node, operator, reason]),
    [
      [
        'c1_dequantized/keep-gelu',
        'Max',
        'hands its input to both ends of a GELU, so that onnxruntime runs that as one operator',
      ],
      ['g', 'Gelu', 'it is part of a GELU, which onnxruntime runs as one float operator'],
    ],
  );
  const noise = createSqnrAccumulator();
  noise.add(result.float['y']!, result.fused['y']!);
  assert.ok((noise.finishDb() ?? Infinity) > 35, String(noise.finishDb()));
});

const SHRINKING: Readonly<Record<string, readonly string[]>> = {
  scales: ['c1', '', 'half'],
  sizes: ['c1', '', '', 'small'],
};

for (const [how, inputs] of Object.entries(SHRINKING)) {
  test(`a Resize that shrinks by cubic interpolation runs behind a layer in integers (${how})`, async (t) => {
    const model = smallModel({
      input: [1, 8, 6, 6],
      output: 'y',
      nodes: [
        node('Conv', ['input', 'w1'], 'c1'),
        node('Resize', inputs, 'r', { mode: 'cubic' }),
        node('Conv', ['r', 'w2'], 'y'),
      ],
      tensors: [
        ...['w1', 'w2'].map((name) => normalTensor(name, [8, 8, 1, 1], 0.3)),
        makeTensor('half', [4], Float32Array.of(1, 1, 0.5, 0.5)),
        integers('small', [1, 8, 3, 4]),
      ],
    });
    const result = await quantizeOne(t, model, normalValues('input', 8 * 36));
    assert.equal(result.optimized.operators['com.microsoft.QLinearConv'], 2);
    assert.deepEqual(
      result.optimized.floatNodes.map(({ node, reason }) => [node, reason]),
      [
        [
          'c1_dequantized/keep-layout',
          'keeps channels first for a Resize that onnxruntime could not run with channels last',
        ],
        ['r', 'it interpolates (mode cubic)'],
      ],
    );
    const noise = createSqnrAccumulator();
    noise.add(result.float['y']!, result.fused['y']!);
    assert.ok((noise.finishDb() ?? Infinity) > 30, String(noise.finishDb()));
  });
}
