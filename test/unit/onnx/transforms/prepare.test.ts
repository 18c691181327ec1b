import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { makeTensor } from '../../../../src/onnx/build.ts';
import { StringStringEntryProtoSchema } from '../../../../src/onnx/generated/onnx_pb.ts';
import { graphOf } from '../../../../src/onnx/model.ts';
import { encodeOnnx } from '../../../../src/onnx/writer.ts';
import { prepareModel } from '../../../../src/quantization/prepare-model.ts';
import { testPrepared, type PreparedForm } from '../../../support/prepared-form.ts';
import { nodeSpec, normalTensor, normalValues, smallModel } from '../../../support/quantize-one.ts';

const positive = (name: string, count: number): Float32Array =>
  normalValues(name, count).map((value) => Math.abs(value) + 0.1);

const cases: readonly PreparedForm[] = [
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

for (const form of cases) testPrepared(form);

test('an operator that changed its meaning before opset 13 is refused by name', () => {
  const nodes = [nodeSpec('Scan', ['', 'input'], 'y')];
  const model = smallModel({ nodes, input: [1, 1, 2, 2], output: 'y', opset: 8 });
  assert.throws(() => prepareModel(model), {
    code: 'onnx/cannot-upgrade',
    message: /node "y" \(Scan\)/,
  });
});

test('notes of exporters at nodes and tensors are dropped, those of the model kept', () => {
  const model = smallModel({
    nodes: [nodeSpec('Relu', ['input'], 'y')],
    input: [1, 4],
    output: 'y',
  });
  const note = create(StringStringEntryProtoSchema, { key: 'stack_trace', value: 'File "a.py"' });
  const graph = graphOf(model);
  model.metadataProps = [create(StringStringEntryProtoSchema, { key: 'drq.mean', value: '[0]' })];
  for (const noted of [...graph.node, ...graph.input, ...graph.output, ...graph.initializer, graph])
    noted.metadataProps = [note];
  graph.node[0]!.docString = 'File "b.py"';
  const written = Buffer.from(encodeOnnx(prepareModel(model))).toString('latin1');
  assert.ok(!/stack_trace|\.py/.test(written));
  assert.ok(written.includes('drq.mean'));
});
