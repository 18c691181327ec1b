import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeTensor, makeValueInfo, type NodeSpec } from '../../../../src/onnx/build.ts';
import { encodeOnnx } from '../../../../src/onnx/writer.ts';
import { graphOf, type Initializer } from '../../../../src/onnx/model.ts';
import { opsetOf } from '../../../../src/onnx/check.ts';
import { prepareModel } from '../../../../src/quantization/prepare-model.ts';
import {
  nodeSpec,
  normalTensor,
  normalValues,
  run,
  smallModel,
} from '../../../support/quantize-one.ts';

const positive = (name: string, count: number): Float32Array =>
  normalValues(name, count).map((value) => Math.abs(value) + 0.1);

const cases: readonly {
  readonly name: string;
  readonly input: readonly number[];
  readonly nodes: readonly NodeSpec[];
  readonly tensors: readonly Initializer[];
  readonly operators: readonly string[];
  readonly opset?: number;
  /** Name of a dynamic batch. */
  readonly batch?: string;
}[] = [
  {
    name: 'batch norm after convolutions with and without bias, and after Gemm',
    input: [2, 3, 6, 6],
    nodes: [
      nodeSpec('Conv', ['input', 'w1'], 'c1'),
      nodeSpec('BatchNormalization', ['c1', 'g1', 'b1', 'm1', 'v1'], 'n1', {
        epsilon: { float: 1e-3 },
      }),
      nodeSpec('Conv', ['n1', 'w2', 'cb'], 'c2', { group: 4 }),
      nodeSpec('BatchNormalization', ['c2', 'g1', 'b1', 'm1', 'v1'], 'n2'),
      nodeSpec('Flatten', ['n2'], 'f'),
      nodeSpec('Gemm', ['f', 'w3', 'gb'], 'g'),
      nodeSpec('BatchNormalization', ['g', 'g3', 'b3', 'm3', 'v3'], 'y'),
    ],
    tensors: [
      normalTensor('w1', [4, 3, 3, 3]),
      normalTensor('w2', [4, 1, 3, 3]),
      normalTensor('cb', [4]),
      normalTensor('g1', [4]),
      normalTensor('b1', [4]),
      normalTensor('m1', [4]),
      makeTensor('v1', [4], positive('v1', 4)),
      normalTensor('w3', [16, 5]),
      normalTensor('gb', [5]),
      normalTensor('g3', [5]),
      normalTensor('b3', [5]),
      normalTensor('m3', [5]),
      makeTensor('v3', [5], positive('v3', 5)),
    ],
    operators: ['Conv', 'Conv', 'Flatten', 'Gemm'],
  },
  {
    name: 'Constant, Identity, Dropout',
    input: [2, 4],
    nodes: [
      {
        ...nodeSpec('Constant', [], 'k'),
        attributes: { tensor: { tensor: normalTensor('any', [4]) } },
      },
      nodeSpec('Identity', ['input'], 'i'),
      nodeSpec('Mul', ['i', 'half'], 'm'),
      nodeSpec('Dropout', ['m'], 'd'),
      nodeSpec('Identity', ['d'], 'y'),
    ].slice(1),
    tensors: [makeTensor('half', [], Float32Array.of(0.5))],
    operators: ['Mul'],
  },
  {
    name: 'padding that is computed from the size of the image',
    input: [1, 4, 5, 5],
    nodes: [
      nodeSpec('Shape', ['input'], 'shape'),
      nodeSpec('Gather', ['shape', 'two'], 'height'),
      nodeSpec('Cast', ['height'], 'h', { to: 1 }),
      nodeSpec('Div', ['h', 'half'], 'doubled'),
      nodeSpec('Ceil', ['doubled'], 'c'),
      nodeSpec('Sub', ['c', 'h'], 'd'),
      nodeSpec('Clip', ['d', 'zero', 'one'], 'clipped'),
      nodeSpec('Cast', ['clipped'], 'pad', { to: 7 }),
      nodeSpec('Mod', ['height', 'two'], 'odd'),
      nodeSpec('Equal', ['odd', 'pad'], 'same'),
      nodeSpec('Where', ['same', 'pad', 'two'], 'chosen'),
      nodeSpec('ReduceProd', ['chosen'], 'p', { keepdims: 0 }),
      nodeSpec('Unsqueeze', ['p', 'first'], 'u'),
      nodeSpec('Concat', ['zeros', 'u', 'u', 'zeros', 'u', 'u'], 'pads', { axis: 0 }),
      nodeSpec('Pad', ['input', 'pads'], 'padded'),
      nodeSpec('Conv', ['padded', 'w'], 'y'),
    ],
    tensors: [
      makeTensor('two', [], BigInt64Array.of(2n)),
      makeTensor('first', [1], BigInt64Array.of(0n)),
      makeTensor('zeros', [2], BigInt64Array.of(0n, 0n)),
      makeTensor('zero', [], Float32Array.of(0)),
      makeTensor('one', [], Float32Array.of(1)),
      makeTensor('half', [], Float32Array.of(0.5)),
      normalTensor('w', [4, 4, 3, 3]),
    ],
    operators: ['Conv'],
  },
  {
    name: 'weights that are standardized in the graph',
    input: [1, 4, 5, 5],
    opset: 17,
    nodes: [
      nodeSpec('ReduceMean', ['turned'], 'mean', { axes: [0, 1], keepdims: 0 }),
      nodeSpec('ReduceMean', ['turned'], 'kept', { axes: [0, -2] }),
      nodeSpec('Sub', ['turned', 'kept'], 'd'),
      nodeSpec('Mul', ['d', 'd'], 'squares'),
      nodeSpec('ReduceMean', ['squares'], 'variance', { axes: [0, 1], keepdims: 0 }),
      {
        ...nodeSpec('BatchNormalization', ['rows', 'gain', 'none', 'mean', 'variance'], 'n', {
          training_mode: 1,
        }),
        outputs: ['n', 'running_mean', 'running_variance'],
      },
      nodeSpec('Reshape', ['n', 'shape'], 'w'),
      nodeSpec('Conv', ['input', 'w'], 'y'),
    ],
    tensors: [
      normalTensor('rows', [1, 6, 36]),
      normalTensor('turned', [1, 36, 6]),
      normalTensor('gain', [6]),
      makeTensor('none', [6], new Float32Array(6)),
      makeTensor('shape', [4], BigInt64Array.of(6n, 4n, 3n, 3n)),
    ],
    operators: ['Conv'],
  },
  {
    name: 'HardSwish between layers, as one node and as two',
    input: [1, 4, 5, 5],
    opset: 17,
    nodes: [
      nodeSpec('Conv', ['input', 'w1'], 'c1'),
      nodeSpec('HardSwish', ['c1'], 'h1'),
      nodeSpec('Conv', ['h1', 'w1'], 'c2'),
      nodeSpec('BatchNormalization', ['c2', 'v', 'v', 'v', 'v'], 'n'),
      nodeSpec('HardSigmoid', ['n'], 'gate', { alpha: { float: 0.25 } }),
      nodeSpec('Mul', ['gate', 'n'], 'h2'),
      nodeSpec('Relu', ['h2'], 'r'),
      nodeSpec('HardSwish', ['r'], 'y'),
    ],
    tensors: [normalTensor('w1', [4, 4, 1, 1]), makeTensor('v', [4], positive('v', 4))],
    operators: 'Conv Add Clip Mul Conv Add Clip Mul Mul Relu HardSwish'.split(' '),
  },
  {
    name: 'a GELU stays whole, in each order and with a factor after it',
    input: [1, 4, 5, 5],
    nodes: [
      nodeSpec('Conv', ['input', 'w1'], 'c1'),
      nodeSpec('Mul', ['c1', 'narrow'], 's1'),
      nodeSpec('Erf', ['s1'], 'e1'),
      nodeSpec('Add', ['e1', 'one'], 'a1'),
      nodeSpec('Mul', ['c1', 'a1'], 'm1'),
      nodeSpec('Mul', ['half', 'm1'], 'g1'),
      nodeSpec('Conv', ['g1', 'w1'], 'c2'),
      nodeSpec('Div', ['c2', 'wide'], 's2'),
      nodeSpec('Erf', ['s2'], 'e2'),
      nodeSpec('Add', ['e2', 'one'], 'a2'),
      nodeSpec('Mul', ['c2', 'half'], 'm2'),
      nodeSpec('Mul', ['m2', 'a2'], 'g2'),
      nodeSpec('Mul', ['g2', 'half'], 'scaled'),
      nodeSpec('Conv', ['scaled', 'w1'], 'c3'),
      nodeSpec('Div', ['c3', 'wide'], 's3'),
      nodeSpec('Erf', ['s3'], 'e3'),
      nodeSpec('Add', ['e3', 'one'], 'a3'),
      nodeSpec('Mul', ['half', 'a3'], 'm3'),
      nodeSpec('Mul', ['c3', 'm3'], 'y'),
    ],
    tensors: [
      normalTensor('w1', [4, 4, 1, 1]),
      makeTensor('narrow', [], Float32Array.of(Math.SQRT1_2)),
      makeTensor('wide', [1], Float32Array.of(Math.SQRT2)),
      makeTensor('half', [], Float32Array.of(0.5)),
      makeTensor('one', [], Float32Array.of(1)),
    ],
    operators: [1, 2, 3].flatMap(() => 'Conv Div Erf Add Mul Mul'.split(' ')),
  },
  {
    name: 'channels last around each layer',
    input: [2, 5, 6, 4],
    nodes: [
      nodeSpec('Transpose', ['input'], 'first1', { perm: [0, 3, 1, 2] }),
      nodeSpec('Conv', ['first1', 'w1'], 'c1'),
      nodeSpec('Transpose', ['c1'], 'last1', { perm: [0, 2, 3, 1] }),
      nodeSpec('Mul', ['gain', 'last1'], 'scaled'),
      nodeSpec('Add', ['scaled', 'shift'], 'a1'),
      nodeSpec('Clip', ['a1', 'zero', 'six'], 'r1'),
      nodeSpec('Pad', ['r1', 'pads'], 'padded'),
      nodeSpec('Transpose', ['padded'], 'first2', { perm: [0, 3, 1, 2] }),
      nodeSpec('Conv', ['first2', 'w3'], 'c2'),
      nodeSpec('Transpose', ['c2'], 'last2', { perm: [0, 2, 3, 1] }),
      nodeSpec('Add', ['last2', 'shift'], 'a2'),
      nodeSpec('ReduceMean', ['a2'], 'mean', { axes: [1, 2] }),
      nodeSpec('Mul', ['a2', 'mean'], 'gated'),
      nodeSpec('Concat', ['gated', 'r1'], 'joined', { axis: -1 }),
      nodeSpec('Div', ['joined', 'six'], 'y'),
    ],
    tensors: [
      normalTensor('w1', [4, 4, 1, 1]),
      normalTensor('w3', [4, 4, 3, 3]),
      normalTensor('gain', [4]),
      normalTensor('shift', [1, 1, 1, 4]),
      makeTensor('zero', [], Float32Array.of(0)),
      makeTensor('six', [], Float32Array.of(6)),
      makeTensor('pads', [8], BigInt64Array.of(0n, 0n, 1n, 0n, 0n, 2n, 1n, 0n)),
    ],
    operators: 'Transpose Conv Clip Conv GlobalAveragePool Mul Concat Mul Transpose'.split(' '),
  },
  {
    name: 'a gate that is expanded, all values gathered in order',
    input: [2, 3, 4, 4],
    nodes: [
      nodeSpec('GlobalAveragePool', ['input'], 'mean'),
      nodeSpec('Expand', ['mean', 'whole'], 'expanded'),
      nodeSpec('Mul', ['input', 'expanded'], 'gated'),
      nodeSpec('Reshape', ['gated', 'list'], 'values'),
      nodeSpec('Gather', ['values', 'order'], 'all'),
      nodeSpec('Gather', ['values', 'reverse'], 'turned'),
      nodeSpec('Add', ['all', 'turned'], 'y'),
    ],
    tensors: [
      makeTensor('whole', [4], BigInt64Array.of(2n, 3n, 4n, 4n)),
      makeTensor('list', [1], BigInt64Array.of(-1n)),
      makeTensor(
        'order',
        [2, 48],
        BigInt64Array.from({ length: 96 }, (_, i) => BigInt(i)),
      ),
      makeTensor(
        'reverse',
        [2, 48],
        BigInt64Array.from({ length: 96 }, (_, i) => BigInt(95 - i)),
      ),
    ],
    operators: 'GlobalAveragePool Mul Reshape Reshape Gather Add'.split(' '),
  },
  {
    name: 'an Expand that its reader does not repeat',
    input: [2, 3, 1, 1],
    nodes: [
      nodeSpec('Expand', ['input', 'whole'], 'expanded'),
      nodeSpec('Mul', ['input', 'expanded'], 'y'),
    ],
    tensors: [makeTensor('whole', [4], BigInt64Array.of(2n, 3n, 4n, 4n))],
    operators: ['Expand', 'Mul'],
  },
  {
    name: 'mean over the image axes, kept and dropped',
    input: [2, 3, 5, 4],
    nodes: [
      nodeSpec('ReduceMean', ['input'], 'p', { axes: [-2, 3], keepdims: 0 }),
      nodeSpec('MatMul', ['p', 'w'], 'm'),
      nodeSpec('Add', ['b', 'm'], 'y'),
    ],
    tensors: [normalTensor('w', [3, 4]), normalTensor('b', [4])],
    operators: ['GlobalAveragePool', 'Flatten', 'Gemm'],
  },
  {
    name: 'a mean over other axes stays, a MatMul of more axes is one of rows',
    input: [2, 3, 5, 4],
    nodes: [
      nodeSpec('ReduceMean', ['input'], 'p', { axes: [1], keepdims: 1 }),
      nodeSpec('MatMul', ['p', 'w'], 'y'),
    ],
    tensors: [normalTensor('w', [4, 4])],
    operators: ['ReduceMean', 'Reshape', 'Gemm', 'Reshape'],
  },
  {
    name: 'zeros round an image before a convolution with pads of its own',
    input: [1, 3, 5, 5],
    nodes: [
      nodeSpec('Pad', ['input', 'pads'], 'p'),
      nodeSpec('Conv', ['p', 'w'], 'y', { pads: [1, 0, 0, 1], strides: [2, 2] }),
    ],
    tensors: [
      makeTensor('pads', [8], BigInt64Array.from([0, 0, 0, 1, 0, 0, 2, 1], BigInt)),
      normalTensor('w', [2, 3, 3, 3]),
    ],
    operators: ['Conv'],
  },
  {
    name: 'a flatten by shape arithmetic, as PyTorch writes it for a dynamic batch',
    input: [2, 3, 5, 4],
    batch: 'N',
    nodes: [
      nodeSpec('GlobalAveragePool', ['input'], 'p'),
      nodeSpec('Shape', ['p'], 's'),
      nodeSpec('Gather', ['s', 'zero'], 'g', { axis: 0 }),
      nodeSpec('Unsqueeze', ['g', 'first'], 'u'),
      nodeSpec('Concat', ['u', 'minus'], 'k', { axis: 0 }),
      nodeSpec('Reshape', ['p', 'k'], 'f'),
      nodeSpec('MatMul', ['f', 'w'], 'y'),
    ],
    tensors: [
      makeTensor('zero', [], BigInt64Array.of(0n)),
      makeTensor('first', [1], BigInt64Array.of(0n)),
      makeTensor('minus', [1], BigInt64Array.of(-1n)),
      normalTensor('w', [3, 4]),
    ],
    operators: ['GlobalAveragePool', 'Reshape', 'Gemm'],
  },
  {
    name: 'a constant sub-graph',
    input: [2, 3, 5, 4],
    nodes: [
      nodeSpec('ConstantOfShape', ['dims'], 'ones'),
      nodeSpec('Range', ['zero', 'three', 'one'], 'r'),
      nodeSpec('Cast', ['r'], 'rf', { to: 1 }),
      nodeSpec('Unsqueeze', ['rf', 'axes'], 'ru'),
      nodeSpec('Add', ['ones', 'ru'], 'sum'),
      nodeSpec('Slice', ['sum', 'begin', 'end'], 'cut'),
      nodeSpec('Mul', ['input', 'cut'], 'y'),
    ],
    tensors: [
      makeTensor('dims', [4], BigInt64Array.of(2n, 3n, 5n, 4n)),
      makeTensor('zero', [], BigInt64Array.of(0n)),
      makeTensor('three', [], BigInt64Array.of(3n)),
      makeTensor('one', [], BigInt64Array.of(1n)),
      makeTensor('axes', [2], BigInt64Array.of(1n, 2n)),
      makeTensor('begin', [1], BigInt64Array.of(1n)),
      makeTensor('end', [1], BigInt64Array.of(2n)),
    ],
    operators: ['Mul'],
  },
  {
    name: 'scalings before a layer: into it, or a depthwise convolution where it pads',
    input: [2, 4, 6, 6],
    nodes: [
      nodeSpec('Sub', ['input', 's4'], 'a'),
      nodeSpec('Div', ['a', 's4'], 'b'),
      nodeSpec('Conv', ['b', 'w1'], 'c'),
      nodeSpec('MaxPool', ['c'], 'p', { kernel_shape: [2, 2] }),
      nodeSpec('BatchNormalization', ['p', 'm4', 'd4', 'm4', 'd4'], 'n'),
      nodeSpec('Conv', ['n', 'w2', 'm4'], 'e', { pads: [1, 1, 1, 1], group: 2 }),
      nodeSpec('MaxPool', ['e'], 'q', { kernel_shape: [2, 2] }),
      nodeSpec('Mul', ['q', 's4'], 'z'),
      nodeSpec('Conv', ['z', 'w2', 'm4'], 'y', { pads: [1, 1, 1, 1], group: 2 }),
    ],
    tensors: [
      normalTensor('w1', [4, 4, 1, 1]),
      normalTensor('w2', [4, 2, 3, 3]),
      normalTensor('m4', [4]),
      makeTensor('s4', [1, 4, 1, 1], Float32Array.of(1, -2, 0.5, 3)),
      makeTensor('d4', [4], Float32Array.of(0.5, 2, 1, 4)),
    ],
    operators: ['Conv', 'MaxPool', 'Conv', 'Conv', 'MaxPool', 'Conv'],
  },
  {
    name: 'Sum of three and Identity',
    input: [2, 4],
    nodes: [nodeSpec('Identity', ['input'], 'i'), nodeSpec('Sum', ['i', 'k', 'input'], 'y')],
    tensors: [normalTensor('k', [4])],
    operators: ['Add', 'Add'],
  },
  {
    name: 'opset 9',
    opset: 9,
    input: [2, 3, 4, 4],
    nodes: [
      nodeSpec('Clip', ['input'], 'c', { min: { float: 0 }, max: { float: 0.75 } }),
      nodeSpec('Squeeze', ['pooled'], 's', { axes: [2, 3] }),
      nodeSpec('GlobalAveragePool', ['c'], 'pooled'),
      nodeSpec('Softmax', ['s'], 'y'),
    ].sort(
      (a, b) =>
        ['c', 'pooled', 's', 'y'].indexOf(a.name) - ['c', 'pooled', 's', 'y'].indexOf(b.name),
    ),
    tensors: [],
    operators: ['Clip', 'GlobalAveragePool', 'Squeeze', 'Softmax'],
  },
];

for (const { name, input, nodes, tensors, operators, opset, batch } of cases) {
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

test('an operator that changed its meaning before opset 13 is refused by name', () => {
  const nodes = [nodeSpec('TopK', ['input'], 'y')];
  const model = smallModel({ nodes, input: [1, 1, 2, 2], output: 'y', opset: 9 });
  assert.throws(() => prepareModel(model), {
    code: 'onnx/cannot-upgrade',
    message: /node "y" \(TopK\)/,
  });
});
