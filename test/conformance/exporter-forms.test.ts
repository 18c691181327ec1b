import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import {
  FunctionProtoSchema,
  OperatorSetIdProtoSchema,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
} from '../../src/onnx/generated/onnx_pb.ts';
import { makeNode, makeTensor, type NodeSpec } from '../../src/onnx/build.ts';
import { graphOf, type Initializer, type OnnxModel } from '../../src/onnx/model.ts';
import {
  nodeSpec,
  normalTensor,
  normalValues,
  quantizeOne,
  smallModel,
} from '../support/quantize-one.ts';

const INT8: number = DataType.INT8;
const tensor = (name: string, dims: readonly number[], deviation = 0.1): Initializer =>
  normalTensor(name, dims, deviation);
const integers = (name: string, ...values: number[]): Initializer =>
  makeTensor(name, [values.length], BigInt64Array.from(values, BigInt));
const conv = (output = 'c', input = 'input', weight = `${output}_w`): NodeSpec =>
  nodeSpec('Conv', [input, weight], output, { pads: [1, 1, 1, 1] });
const weightsOf = (output = 'c'): Initializer => tensor(`${output}_w`, [8, 8, 3, 3]);
const asHalf = ({ name, dims }: Initializer, values: Float32Array): Initializer =>
  create(TensorProtoSchema, {
    ...{ name, dims, dataType: DataType.FLOAT16 },
    // ±1/8 and ±1/16 are the same in both types: sign and exponent alone.
    int32Data: Array.from(values, (value) => (value < 0 ? 0xb000 : value > 0.05 ? 0x3000 : 0x2c00)),
  });

interface Form {
  readonly name: string;
  readonly nodes: readonly NodeSpec[];
  readonly tensors: readonly Initializer[];
  readonly input?: readonly number[];
  readonly opset?: number;
  /** Nodes that stay float, with a word of the reason. */
  readonly float?: Readonly<Record<string, RegExp>>;
  readonly change?: (model: OnnxModel) => void;
}

const pool = (attributes: NodeSpec['attributes']): NodeSpec =>
  nodeSpec('AveragePool', ['c'], 'p', { kernel_shape: [3, 3], strides: [2, 2], ...attributes });
const second = [conv(), conv('y', 'p')] as const;
const POOLED = [weightsOf(), weightsOf('y')];

const FORMS: readonly Form[] = [
  {
    name: 'a pool in ceil mode whose last window would start in the padding',
    nodes: [
      second[0],
      nodeSpec('MaxPool', ['c'], 'p', {
        ...{ kernel_shape: [2, 2], strides: [3, 3], pads: [0, 0, 1, 1], ceil_mode: 1 },
      }),
      second[1],
    ],
    tensors: POOLED,
  },
  {
    name: 'an average over padding in ceil mode',
    nodes: [second[0], pool({ pads: [1, 1, 1, 1], ceil_mode: 1, count_include_pad: 1 }), second[1]],
    tensors: POOLED,
    input: [1, 8, 10, 10],
    float: { p: /ceil_mode/ },
  },
  {
    name: 'a dilated average',
    nodes: [second[0], pool({ dilations: [2, 2] }), second[1]],
    tensors: POOLED,
    opset: 19,
    float: { p: /dilated/ },
  },
  {
    name: 'places of maxima',
    nodes: [
      second[0],
      {
        ...nodeSpec('MaxPool', ['c'], 'm', { kernel_shape: [2, 2], strides: [2, 2] }),
        outputs: ['m', 'places'],
      },
      nodeSpec('MaxUnpool', ['m', 'places'], 'p', { kernel_shape: [2, 2], strides: [2, 2] }),
      second[1],
    ],
    tensors: POOLED,
    input: [1, 8, 8, 8],
    float: { m: /places/, p: /no integer form/ },
  },
  {
    name: 'pads of two axes',
    nodes: [second[0], nodeSpec('Pad', ['c', 'pads', '', 'axes'], 'p'), second[1]],
    tensors: [...POOLED, integers('pads', 1, 2, 1, 0), integers('axes', -1, 2)],
    opset: 18,
  },
  {
    name: 'a linear layer on each place of an image',
    nodes: [
      conv(),
      nodeSpec('Transpose', ['c'], 't', { perm: [0, 2, 3, 1] }),
      nodeSpec('MatMul', ['t', 'w'], 'm'),
      nodeSpec('Add', ['m', 'b'], 'a'),
      nodeSpec('Relu', ['a'], 'r'),
      nodeSpec('MatMul', ['r', 'w2'], 'm2'),
      nodeSpec('Clip', ['m2', 'zero'], 'k'),
      nodeSpec('Transpose', ['k'], 't2', { perm: [0, 3, 1, 2] }),
      conv('y', 't2'),
    ],
    tensors: [
      ...[weightsOf(), weightsOf('y'), tensor('w', [8, 24], 0.3), tensor('b', [24])],
      ...[tensor('w2', [24, 8], 0.3), makeTensor('zero', [], Float32Array.of(0))],
    ],
  },
  {
    name: 'weights in float16 behind a Cast',
    nodes: [nodeSpec('Cast', ['half'], 'c_w', { to: DataType.FLOAT }), conv('y', 'input', 'c_w')],
    tensors: [asHalf(tensor('half', [8, 8, 3, 3]), normalValues('half', 576, 0.1))],
  },
  {
    name: 'a mean over height and width of [N, H, W, C], axes kept',
    nodes: [
      conv(),
      nodeSpec('Transpose', ['c'], 't', { perm: [0, 2, 3, 1] }),
      nodeSpec('Relu', ['t'], 'r'),
      nodeSpec('ReduceMean', ['r'], 'm', { axes: [1, 2], keepdims: 1 }),
      nodeSpec('Mul', ['r', 'm'], 'y'),
    ],
    tensors: [weightsOf()],
  },
  {
    name: 'a mean over the height, then over the width',
    nodes: [
      conv(),
      nodeSpec('ReduceMean', ['c', 'rows'], 'h', { keepdims: 0 }),
      nodeSpec('ReduceMean', ['h', 'columns'], 'm', { keepdims: 0 }),
      nodeSpec('Gemm', ['m', 'w'], 'y'),
    ],
    tensors: [weightsOf(), integers('rows', 2), integers('columns', -1), tensor('w', [8, 5], 0.5)],
    opset: 18,
  },
  {
    name: 'a constant that an Add and a Clip read',
    nodes: [
      conv(),
      nodeSpec('Relu', ['c'], 'r'),
      nodeSpec('Add', ['r', 'one'], 'a'),
      conv('d', 'a'),
      nodeSpec('Clip', ['d', 'zero', 'one'], 'y'),
    ],
    tensors: [
      ...[weightsOf(), weightsOf('d')],
      ...[makeTensor('zero', [], Float32Array.of(0)), makeTensor('one', [], Float32Array.of(1))],
    ],
  },
  {
    name: 'a max pool behind a pad of -infinity',
    nodes: [
      conv(),
      nodeSpec('Pad', ['c', 'pads', 'least'], 'padded'),
      nodeSpec('MaxPool', ['padded'], 'p', { kernel_shape: [3, 3], strides: [2, 2] }),
      second[1],
    ],
    tensors: [
      ...[...POOLED, integers('pads', 0, 0, 0, 1, 0, 0, 1, 1)],
      makeTensor('least', [], Float32Array.of(-Infinity)),
    ],
    input: [1, 8, 8, 8],
  },
  ...[-1e9, -Infinity].map((value) => ({
    name: `a mask of ${value}`,
    nodes: [
      conv(),
      nodeSpec('Add', ['c', 'mask'], 'masked'),
      nodeSpec('Softmax', ['masked'], 'p', { axis: 3 }),
      conv('y', 'p'),
    ],
    tensors: [
      ...POOLED,
      makeTensor(
        'mask',
        [9, 9],
        Float32Array.from({ length: 81 }, (_, i) => (i % 9 > Math.floor(i / 9) ? value : 0)),
      ),
    ],
    float: { masked: /beyond 100000/, p: /QLinearSoftmax, loses small probabilities/ },
  })),
  {
    name: 'a Resize of two axes between layers',
    nodes: [conv(), nodeSpec('Resize', ['c', '', 'scales'], 'p', { axes: [2, 3] }), second[1]],
    tensors: [...POOLED, makeTensor('scales', [2], Float32Array.of(1.5, 2))],
    opset: 18,
  },
  {
    name: 'a Resize of two axes to sizes that an image fits',
    nodes: [
      conv(),
      nodeSpec('Resize', ['c', '', '', 'sizes'], 'p', {
        ...{ axes: [2, -1], keep_aspect_ratio_policy: 'not_smaller' },
      }),
      second[1],
    ],
    tensors: [...POOLED, integers('sizes', 18, 20)],
    input: [1, 8, 9, 12],
    opset: 18,
  },
  {
    name: 'functions of the model, one calling the other',
    nodes: [
      { ...nodeSpec('Block', ['input', 'c_w'], 'c'), domain: 'local' },
      { ...nodeSpec('Block', ['c', 'y_w'], 'y'), domain: 'local' },
    ],
    tensors: POOLED,
    change: (model) => {
      const shared = { domain: 'local', opsetImport: model.opsetImport };
      const block = (name: string, nodes: readonly NodeSpec[]) =>
        create(FunctionProtoSchema, {
          ...{ ...shared, name, input: ['x', 'w'], output: ['result'] },
          node: nodes.map(makeNode),
        });
      model.functions.push(
        block('Block', [
          { ...nodeSpec('Convolved', ['x', 'w'], 'inner'), domain: 'local' },
          nodeSpec('Relu', ['inner'], 'result'),
        ]),
        block('Convolved', [nodeSpec('Conv', ['x', 'w'], 'result', { pads: [1, 1, 1, 1] })]),
      );
      model.opsetImport.push(create(OperatorSetIdProtoSchema, { domain: 'local', version: 1n }));
      for (const called of model.functions) called.opsetImport = [...model.opsetImport];
    },
  },
];

for (const { name, nodes, tensors, input = [1, 8, 9, 9], opset, float = {}, change } of FORMS) {
  test(`${name}: follows float, in integers but for ${Object.keys(float).length} nodes`, async (t) => {
    const shape = opset === undefined ? {} : { opset };
    const model = smallModel({ nodes, input, output: 'y', tensors, ...shape });
    change?.(model);
    const size = input.reduce((a, b) => a * b, 1);
    const result = await quantizeOne(t, model, normalValues('input', size));

    const planned = new Map(result.plan.floatNodes.map(({ node, reason }) => [node, reason]));
    assert.deepEqual([...planned.keys()], Object.keys(float));
    for (const [node, reason] of Object.entries(float)) assert.match(planned.get(node)!, reason);
    // Reorder nodes change the layout for a float layer.
    const computed = result.optimized.floatNodes.filter(
      ({ node, operator }) => !node.endsWith('/keep-float') && !operator.startsWith('Reorder'),
    );
    assert.deepEqual(
      computed.map(({ node }) => node),
      Object.keys(float),
    );
    const expected = result.float['y']!;
    const range = Math.max(...expected) - Math.min(...expected, 0);
    for (const [i, reference] of expected.entries()) {
      const found = result.fused['y']![i]!;
      // Noise of input, weights and activations: a few codes.
      assert.ok(Math.abs(found - reference) <= 0.05 * range, `at ${i}: ${found} for ${reference}`);
    }
  });
}

test('for the portable target no weights may meet, those of an average pool neither', async (t) => {
  const model = smallModel({
    ...{ nodes: [second[0], pool({}), second[1]], tensors: POOLED },
    ...{ input: [1, 8, 9, 9], output: 'y' },
  });
  const input = normalValues('input', 8 * 9 * 9);
  for (const [target, largest] of [
    ['portable', 64],
    ['avx2', 127],
  ] as const) {
    const quantized = await quantizeOne(t, model, input, { target });
    const weights = graphOf(quantized.model).initializer.filter(
      ({ dataType, dims }) => dataType === INT8 && dims.length === 4,
    );
    assert.equal(weights.length, 3); // two convolutions, and what the pool became
    const codes = weights.flatMap(({ rawData }) => [...new Int8Array(rawData)]);
    assert.equal(Math.max(...codes.map(Math.abs)), largest);
  }
});
