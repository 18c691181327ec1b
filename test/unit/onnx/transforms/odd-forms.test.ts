import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { makeNode, makeTensor, makeValueInfo, type NodeSpec } from '../../../../src/onnx/build.ts';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  FunctionProtoSchema,
  GraphProtoSchema,
  OperatorSetIdProtoSchema,
  TensorProto_DataType as DataType,
} from '../../../../src/onnx/generated/onnx_pb.ts';
import { graphOf } from '../../../../src/onnx/model.ts';
import { encodeOnnx } from '../../../../src/onnx/writer.ts';
import { prepareModel } from '../../../../src/quantization/prepare-model.ts';
import { testPrepared, type PreparedForm } from '../../../support/prepared-form.ts';
import {
  nodeSpec,
  normalTensor,
  normalValues,
  run,
  smallModel,
} from '../../../support/quantize-one.ts';

const integers = (name: string, ...values: readonly (number | bigint)[]) =>
  makeTensor(name, [values.length], BigInt64Array.from(values, BigInt));
const floats = (name: string, ...values: readonly number[]) =>
  makeTensor(name, [values.length], Float32Array.from(values));

const MAX_INT64 = 2n ** 63n - 1n;

/** Splits channels into as many groups as the batch has times two, as `x.view(2 * n, -1, h, w)`. */
const grouped: readonly NodeSpec[] = [
  nodeSpec('Shape', ['input'], 'shape'),
  nodeSpec('Slice', ['shape', 'first', 'second'], 'batch'),
  nodeSpec('Mul', ['batch', 'two'], 'groups'),
  nodeSpec('Concat', ['groups', 'rest'], 'wanted', { axis: 0 }),
  nodeSpec('Reshape', ['input', 'wanted'], 'parts'),
];

const FORMS: readonly PreparedForm[] = [
  {
    name: 'a Reshape to a multiple of the batch',
    input: [3, 4, 2, 2],
    batch: 'N',
    opset: 13,
    nodes: [...grouped, nodeSpec('GlobalAveragePool', ['parts'], 'y')],
    tensors: [
      integers('first', 0),
      integers('second', 1),
      integers('two', 2),
      integers('rest', -1, 2, 2),
    ],
    operators: ['Shape', 'Slice', 'Mul', 'Concat', 'Reshape', 'GlobalAveragePool'],
  },
  {
    name: 'a Reshape to the batch itself and what is left',
    input: [3, 4, 2, 2],
    batch: 'N',
    opset: 13,
    nodes: [
      ...grouped.slice(0, 2),
      nodeSpec('Concat', ['batch', 'rest'], 'wanted', { axis: 0 }),
      nodeSpec('Reshape', ['input', 'wanted'], 'rows'),
      nodeSpec('Relu', ['rows'], 'positive'),
      nodeSpec('MatMul', ['positive', 'w'], 'y'),
    ],
    tensors: [
      integers('first', 0),
      integers('second', 1),
      integers('rest', -1, 2),
      normalTensor('w', [2, 5]),
    ],
    operators: ['Reshape', 'Relu', 'Reshape', 'Gemm', 'Reshape'],
  },
  {
    name: 'a Slice of opset 9 to the end',
    input: [1, 2, 4, 4],
    opset: 9,
    nodes: [
      nodeSpec('Slice', ['input'], 'cut', { starts: [1], ends: [2 ** 63], axes: [2] }),
    ].concat(nodeSpec('Relu', ['cut'], 'y')),
    tensors: [],
    operators: ['Slice', 'Relu'],
  },
  {
    name: 'a Slice to an end that is computed',
    input: [1, 2, 4, 4],
    opset: 13,
    nodes: [
      nodeSpec('Unsqueeze', ['last', 'zero'], 'end'),
      nodeSpec('Slice', ['input', 'start', 'end', 'axis'], 'y'),
    ],
    tensors: [
      makeTensor('last', [], BigInt64Array.of(MAX_INT64)),
      integers('zero', 0),
      integers('start', 1),
      integers('axis', 3),
    ],
    operators: ['Slice'],
  },
  {
    name: 'one channel times a constant of four',
    input: [2, 3, 4, 4],
    opset: 17,
    nodes: [
      nodeSpec('ReduceMean', ['input'], 'mean', { axes: [1] }),
      nodeSpec('Mul', ['mean', 'k'], 'y'),
    ],
    tensors: [makeTensor('k', [1, 4, 1, 1], Float32Array.of(1, -2, 3, 0.5))],
    operators: ['ReduceMean', 'Mul'],
  },
  ...[
    { shrink: 0.6, size: 10 },
    { shrink: 0.75, size: 8 },
    { shrink: 0.5, size: 8 },
    { shrink: 1.5, size: 6 },
  ].map(({ shrink, size }) => ({
    name: `a nearest Resize of opset 10 by ${shrink}`,
    input: [1, 2, size, size],
    opset: 10,
    nodes: [nodeSpec('Resize', ['input', 'scales'], 'y')],
    tensors: [floats('scales', 1, 1, shrink, shrink)],
    operators: ['Resize'],
  })),
  {
    name: 'a mean of opset 18 over empty axes, which are all, and one over two',
    input: [2, 3, 4, 4],
    opset: 18,
    nodes: [
      nodeSpec('ReduceMean', ['input', 'none'], 'all'),
      nodeSpec('ReduceMean', ['all', 'places'], 'y'),
    ],
    tensors: [integers('none'), integers('places', 2, 3)],
    operators: ['ReduceMean', 'GlobalAveragePool'],
  },
  {
    name: 'a Softmax of opset 11 over the last axis',
    input: [2, 3, 4, 5],
    opset: 11,
    nodes: [
      nodeSpec('Softmax', ['input'], 's', { axis: 3 }),
      nodeSpec('LogSoftmax', ['s'], 'y', { axis: -1 }),
    ],
    tensors: [],
    operators: ['Softmax', 'LogSoftmax'],
  },
  {
    name: 'a Softmax of opset 11 over all axes but the first, of a shape that nobody infers',
    input: [2, 3, 4, 4],
    opset: 11,
    nodes: [
      nodeSpec('LpPool', ['input'], 'wide', { kernel_shape: [3, 3] }),
      nodeSpec('Softmax', ['wide'], 's'),
      nodeSpec('Relu', ['s'], 'y'),
    ],
    tensors: [],
    operators: ['LpPool', 'Shape', 'Flatten', 'Softmax', 'Reshape', 'Relu'],
  },
  {
    name: 'a nearest Resize of opset 10 by scales of a Constant',
    input: [1, 2, 10, 10],
    opset: 10,
    nodes: [
      {
        ...nodeSpec('Constant', [], 'scales'),
        attributes: { value: { tensor: floats('', 1, 1, 0.6, 0.6) } },
      },
      nodeSpec('Resize', ['input', 'scales'], 'y'),
    ],
    tensors: [],
    operators: ['Resize'],
  },
  {
    name: 'a size that is limited to two of a batch',
    input: [1, 2, 3, 3],
    batch: 'N',
    opset: 13,
    nodes: [
      nodeSpec('Slice', ['input', 'first', 'second', 'first'], 'two'),
      nodeSpec('Reshape', ['two', 'rows'], 'r'),
      nodeSpec('Shape', ['r'], 'shape'),
      nodeSpec('Cast', ['shape'], 'size', { to: DataType.FLOAT }),
      nodeSpec('ReduceProd', ['size'], 'count'),
      nodeSpec('Mul', ['input', 'count'], 'y'),
    ],
    tensors: [integers('first', 0), integers('second', 2), integers('rows', 3, -1)],
    operators: ['Slice', 'Reshape', 'Shape', 'Cast', 'ReduceProd', 'Mul'],
  },
  {
    name: 'space to depth and back, then a layer on places',
    input: [2, 3, 4, 4],
    batch: 'N',
    opset: 17,
    nodes: [
      nodeSpec('SpaceToDepth', ['input'], 'deep', { blocksize: 2 }),
      nodeSpec('DepthToSpace', ['deep'], 'wide', { blocksize: 2 }),
      nodeSpec('MatMul', ['wide', 'w'], 'y'),
    ],
    tensors: [normalTensor('w', [4, 6])],
    operators: ['SpaceToDepth', 'DepthToSpace', 'Reshape', 'Gemm', 'Reshape'],
  },
  {
    name: 'the largest of three constants, and of two and a tensor',
    input: [1, 3, 4, 4],
    nodes: [
      nodeSpec('Max', ['a', 'b', 'c'], 'largest'),
      nodeSpec('Min', ['a', 'b', 'input'], 'least'),
      nodeSpec('Mul', ['least', 'largest'], 'y'),
    ],
    tensors: [floats('a', 0.5), floats('b', -0.25), floats('c', 2)],
    operators: ['Min', 'Mul'],
  },
  {
    name: 'operators of opset 11 that mean the same in 13',
    input: [1, 3, 4, 4],
    opset: 11,
    nodes: [
      nodeSpec('ConvTranspose', ['input', 'w'], 'wide'),
      nodeSpec('ArgMax', ['wide'], 'places', { axis: 1 }),
      nodeSpec('Cast', ['places'], 'p', { to: DataType.FLOAT }),
      nodeSpec('ReduceSumSquare', ['p'], 'y', { axes: [2, 3] }),
    ],
    tensors: [normalTensor('w', [3, 4, 3, 3])],
    operators: ['ConvTranspose', 'ArgMax', 'Cast', 'ReduceSumSquare'],
  },
  {
    name: 'casts that change nothing',
    input: [1, 3, 4, 4],
    opset: 17,
    nodes: [
      nodeSpec('Cast', ['input'], 'i', { to: DataType.FLOAT }),
      nodeSpec('Conv', ['i', 'w'], 'c'),
      nodeSpec('Cast', ['c'], 'same', { to: DataType.FLOAT }),
      nodeSpec('Relu', ['same'], 'r'),
      nodeSpec('Cast', ['r'], 'whole', { to: DataType.INT32 }),
      nodeSpec('Cast', ['whole'], 'y', { to: DataType.FLOAT }),
    ],
    tensors: [normalTensor('w', [4, 3, 1, 1])],
    operators: ['Conv', 'Relu', 'Cast', 'Cast'],
  },
];

for (const form of FORMS) testPrepared(form);

const attributeOf = (name: string, nodes: readonly NodeSpec[], output: string) =>
  create(AttributeProtoSchema, {
    ...{ name, type: AttributeProto_AttributeType.GRAPH },
    g: create(GraphProtoSchema, {
      ...{ name, node: nodes.map(makeNode) },
      output: [makeValueInfo(output, 'any')],
    }),
  });

test('branches of a model before opset 13 are carried over, too', async () => {
  const model = smallModel({
    nodes: [
      nodeSpec('ReduceSum', ['input'], 'sum', { keepdims: 0 }),
      nodeSpec('Greater', ['sum', 'zero'], 'positive'),
      nodeSpec('If', ['positive'], 'y'),
    ],
    tensors: [makeTensor('zero', [], Float32Array.of(0))],
    ...{ input: [1, 3, 4, 4], output: 'y', opset: 11 },
  });
  graphOf(model).node[2]!.attribute.push(
    attributeOf('then_branch', [nodeSpec('Softmax', ['input'], 't')], 't'),
    attributeOf(
      'else_branch',
      [
        nodeSpec('Unsqueeze', ['input'], 'more', { axes: [0] }),
        nodeSpec('Squeeze', ['more'], 'less', { axes: [0] }),
        nodeSpec('Relu', ['less'], 'e'),
      ],
      'e',
    ),
  );
  const prepared = encodeOnnx(prepareModel(model));
  for (const sign of [1, -1]) {
    const input = normalValues('input', 48).map((value) => sign * (Math.abs(value) + 0.1));
    const [before, after] = [encodeOnnx(model), prepared].map((bytes) =>
      run(bytes, model, input, 'disabled'),
    );
    assert.deepEqual((await after)!['y'], (await before)!['y']);
  }
});

test('functions with names of operators are not taken for them', async () => {
  const called = (opType: string, inputs: readonly string[], output: string): NodeSpec => ({
    ...nodeSpec(opType, inputs, output),
    domain: 'my',
  });
  const model = smallModel({
    nodes: [
      nodeSpec('Conv', ['input', 'w'], 'c'),
      called('Add', ['c', 'k'], 'a'),
      called('Mul', ['a', 'k'], 'm'),
      called('HardSwish', ['m'], 'h'),
      called('Dropout', ['h'], 'd'),
      nodeSpec('Relu', ['d'], 'y'),
    ],
    tensors: [normalTensor('w', [4, 3, 1, 1]), normalTensor('k', [4, 1, 1])],
    ...{ input: [1, 3, 4, 4], output: 'y', opset: 17 },
  });
  // Of another opset, so that they are not put in place of their calls.
  const opsetImport = [create(OperatorSetIdProtoSchema, { domain: '', version: 16n })];
  const define = (name: string, input: readonly string[], node: NodeSpec): void => {
    model.functions.push(
      create(FunctionProtoSchema, {
        ...{ domain: 'my', name, input: [...input], output: ['o'], node: [makeNode(node)] },
        opsetImport,
      }),
    );
  };
  define('Add', ['a', 'b'], nodeSpec('Sub', ['a', 'b'], 'o'));
  define('Mul', ['a', 'b'], nodeSpec('Max', ['a', 'b'], 'o'));
  define('HardSwish', ['a'], nodeSpec('Neg', ['a'], 'o'));
  define('Dropout', ['a'], nodeSpec('Neg', ['a'], 'o'));
  model.opsetImport.push(create(OperatorSetIdProtoSchema, { domain: 'my', version: 1n }));
  const input = normalValues('input', 48);
  const prepared = prepareModel(model);
  assert.deepEqual(
    graphOf(prepared).node.map(({ opType }) => opType),
    ['Conv', 'Add', 'Mul', 'HardSwish', 'Dropout', 'Relu'],
  );
  const [before, after] = [model, prepared].map((each) =>
    run(encodeOnnx(each), model, input, 'disabled'),
  );
  assert.deepEqual((await after)!['y'], (await before)!['y']);
});

test('a Dropout whose mask the model gives out stays', () => {
  const dropout = { ...nodeSpec('Dropout', ['c'], 'd'), outputs: ['d', 'mask'] };
  const model = smallModel({
    nodes: [nodeSpec('Conv', ['input', 'w'], 'c'), dropout, nodeSpec('Relu', ['d'], 'y')],
    tensors: [normalTensor('w', [4, 3, 1, 1])],
    input: [1, 3, 4, 4],
    output: 'y',
  });
  const graph = graphOf(model);
  const operators = () => graphOf(prepareModel(model)).node.map(({ opType }) => opType);
  assert.deepEqual(operators(), ['Conv', 'Relu']);
  graph.output.push(makeValueInfo('mask', [1, 4, 4, 4], DataType.BOOL));
  assert.deepEqual(operators(), ['Conv', 'Dropout', 'Relu']);
});

for (const { what, opset, node, tensors } of [
  {
    what: 'a batch norm of each place by itself',
    opset: 8,
    node: nodeSpec('BatchNormalization', ['input', 'v', 'v', 'v', 'v'], 'y', { spatial: 0 }),
    tensors: [normalTensor('v', [2, 4, 4])],
  },
  {
    what: 'a nearest Resize that grows along one axis and shrinks along the other',
    opset: 10,
    node: nodeSpec('Resize', ['input', 'scales'], 'y'),
    tensors: [floats('scales', 1, 1, 0.75, 1.5)],
  },
]) {
  test(`${what}, of an opset before 13, is refused by name`, () => {
    const model = smallModel({
      ...{ nodes: [node], input: [1, 2, 4, 4], output: 'y', opset },
      ...(tensors.length === 0 ? {} : { tensors }),
    });
    assert.throws(() => prepareModel(model), { code: 'onnx/cannot-upgrade', message: /"y"/ });
  });
}
