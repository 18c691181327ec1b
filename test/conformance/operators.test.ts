import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeTensor, type NodeSpec } from '../../src/onnx/build.ts';
import { graphOf, type Initializer } from '../../src/onnx/model.ts';
import {
  nodeSpec,
  normalTensor,
  normalValues,
  quantizeOne,
  smallModel,
} from '../support/quantize-one.ts';

interface OperatorCase {
  readonly name: string;
  readonly nodes: readonly NodeSpec[];
  readonly tensors?: readonly Initializer[];
  readonly input?: readonly number[];
  /** Operators of the optimised graph that must be there, with their number. */
  readonly fused: Readonly<Record<string, number>>;
  readonly opset?: number;
}

const weights = (name: string, dims: readonly number[], deviation = 0.2): Initializer =>
  normalTensor(name, dims, deviation);
const integers = (name: string, values: readonly number[]): Initializer =>
  makeTensor(name, [values.length], BigInt64Array.from(values, BigInt));
const scalar = (name: string, value: number): Initializer =>
  makeTensor(name, [], Float32Array.of(value));

/** A convolution before the operator under test, as networks have it. */
const conv = (output = 'c', input = 'input'): NodeSpec =>
  nodeSpec('Conv', [input, `${output}_w`, `${output}_b`], output, { pads: [1, 1, 1, 1] });
const convTensors = (output = 'c'): Initializer[] => [
  weights(`${output}_w`, [16, 16, 3, 3], 0.1),
  weights(`${output}_b`, [16]),
];

const CONV = 'com.microsoft.QLinearConv';
const CASES: readonly OperatorCase[] = [
  { name: 'Conv', nodes: [conv('y')], tensors: convTensors('y'), fused: { [CONV]: 1 } },
  {
    name: 'Conv without bias',
    nodes: [nodeSpec('Conv', ['input', 'w'], 'y', { strides: [2, 2] })],
    tensors: [weights('w', [8, 16, 3, 3])],
    fused: { [CONV]: 1 },
  },
  {
    name: 'depthwise Conv with uneven pads and Clip to 6',
    nodes: [
      nodeSpec('Conv', ['input', 'w', 'b'], 'c', {
        group: 16,
        pads: [0, 0, 1, 1],
        strides: [2, 2],
      }),
      nodeSpec('Clip', ['c', 'zero', 'six'], 'y'),
    ],
    tensors: [weights('w', [16, 1, 3, 3]), weights('b', [16]), scalar('zero', 0), scalar('six', 6)],
    fused: { [CONV]: 1 },
  },
  {
    name: 'Conv and Relu',
    nodes: [conv(), nodeSpec('Relu', ['c'], 'y')],
    tensors: convTensors(),
    fused: { [CONV]: 1 },
  },
  {
    name: 'Conv and BatchNormalization',
    nodes: [conv(), nodeSpec('BatchNormalization', ['c', 'g', 'be', 'm', 'v'], 'y')],
    tensors: [
      ...convTensors(),
      weights('g', [16]),
      weights('be', [16]),
      weights('m', [16]),
      makeTensor(
        'v',
        [16],
        normalValues('v', 16).map((value) => Math.abs(value) + 0.5),
      ),
    ],
    fused: { [CONV]: 1 },
  },
  {
    name: 'Pad before Conv',
    nodes: [
      nodeSpec('Pad', ['input', 'pads'], 'p'),
      nodeSpec('Conv', ['p', 'w'], 'y', { strides: [2, 2] }),
    ],
    tensors: [integers('pads', [0, 0, 0, 0, 0, 0, 1, 1]), weights('w', [8, 16, 3, 3])],
    fused: { [CONV]: 1 },
  },
  {
    name: 'Gemm, last',
    nodes: [nodeSpec('Gemm', ['input', 'w', 'b'], 'y', { transB: 1 })],
    tensors: [weights('w', [5, 32]), weights('b', [5])],
    input: [2, 32],
    fused: { 'com.microsoft.QGemm': 1 },
  },
  {
    name: 'two Gemm with Relu between, weights as [K, N]',
    nodes: [
      nodeSpec('Gemm', ['input', 'w', 'b'], 'g'),
      nodeSpec('Relu', ['g'], 'r'),
      nodeSpec('Gemm', ['r', 'w2', 'b2'], 'y'),
    ],
    tensors: [
      weights('w', [32, 12]),
      weights('b', [12]),
      weights('w2', [12, 5]),
      weights('b2', [5]),
    ],
    input: [2, 32],
    fused: { 'com.microsoft.QGemm': 2 },
  },
  {
    name: 'MatMul and Add',
    nodes: [nodeSpec('MatMul', ['input', 'w'], 'm'), nodeSpec('Add', ['m', 'b'], 'y')],
    tensors: [weights('w', [32, 5]), weights('b', [5])],
    input: [2, 32],
    fused: { 'com.microsoft.QGemm': 1 },
  },
  {
    name: 'residual Add and Relu',
    nodes: [
      conv('a'),
      conv('b', 'a'),
      nodeSpec('Add', ['a', 'b'], 's'),
      nodeSpec('Relu', ['s'], 'y'),
    ],
    tensors: [...convTensors('a'), ...convTensors('b')],
    fused: { [CONV]: 2, 'com.microsoft.QLinearAdd': 1 },
  },
  {
    name: 'Add of a constant',
    nodes: [conv(), nodeSpec('Add', ['c', 'k'], 'y')],
    tensors: [...convTensors(), weights('k', [1, 1, 9, 9])],
    fused: { [CONV]: 1, 'com.microsoft.QLinearAdd': 1 },
  },
  {
    name: 'Mul',
    nodes: [conv('a'), conv('b', 'a'), nodeSpec('Mul', ['a', 'b'], 'y')],
    tensors: [...convTensors('a'), ...convTensors('b')],
    fused: { 'com.microsoft.QLinearMul': 1 },
  },
  {
    name: 'GlobalAveragePool, Flatten, Gemm',
    nodes: [
      conv(),
      nodeSpec('GlobalAveragePool', ['c'], 'p'),
      nodeSpec('Flatten', ['p'], 'f'),
      nodeSpec('Gemm', ['f', 'w', 'b'], 'y', { transB: 1 }),
    ],
    tensors: [...convTensors(), weights('w', [5, 16]), weights('b', [5])],
    fused: { [CONV]: 1, 'com.microsoft.QLinearGlobalAveragePool': 1, 'com.microsoft.QGemm': 1 },
  },
  {
    name: 'ReduceMean over the image, Reshape, Gemm',
    nodes: [
      conv(),
      nodeSpec('ReduceMean', ['c'], 'p', { axes: [2, 3], keepdims: 1 }),
      nodeSpec('Reshape', ['p', 'shape'], 'f'),
      nodeSpec('Gemm', ['f', 'w', 'b'], 'y', { transB: 1 }),
    ],
    tensors: [
      ...convTensors(),
      integers('shape', [-1, 16]),
      weights('w', [5, 16]),
      weights('b', [5]),
    ],
    fused: { 'com.microsoft.QLinearGlobalAveragePool': 1, 'com.microsoft.QGemm': 1 },
  },
  {
    name: 'ReduceMean of opset 18 without the axes kept',
    nodes: [conv(), nodeSpec('ReduceMean', ['c', 'axes'], 'y', { keepdims: 0 })],
    tensors: [...convTensors(), integers('axes', [-1, -2])],
    opset: 18,
    fused: { 'com.microsoft.QLinearGlobalAveragePool': 1 },
  },
  {
    name: 'MaxPool between convolutions',
    nodes: [
      conv('a'),
      nodeSpec('Relu', ['a'], 'r'),
      nodeSpec('MaxPool', ['r'], 'p', { kernel_shape: [3, 3], strides: [2, 2] }),
      conv('y', 'p'),
    ],
    tensors: [...convTensors('a'), ...convTensors('y')],
    fused: { [CONV]: 2, NhwcMaxPool: 1 },
  },
  {
    name: 'AveragePool, as a depthwise convolution',
    nodes: [conv(), nodeSpec('AveragePool', ['c'], 'y', { kernel_shape: [2, 2], strides: [2, 2] })],
    tensors: convTensors(),
    fused: { [CONV]: 2 },
  },
  {
    name: 'AveragePool that counts its padding',
    nodes: [
      conv(),
      nodeSpec('AveragePool', ['c'], 'y', {
        ...{ kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] },
        count_include_pad: 1,
      }),
    ],
    tensors: convTensors(),
    fused: { [CONV]: 2 },
  },
  {
    name: 'AveragePool that leaves its padding out',
    nodes: [
      conv(),
      nodeSpec('AveragePool', ['c'], 'y', { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }),
    ],
    tensors: convTensors(),
    fused: { [CONV]: 1, 'com.microsoft.QLinearAveragePool': 1 },
  },
  {
    name: 'Concat',
    nodes: [conv('a'), conv('b', 'a'), nodeSpec('Concat', ['a', 'b'], 'y', { axis: 1 })],
    tensors: [...convTensors('a'), ...convTensors('b')],
    fused: { 'com.microsoft.QLinearConcat': 1 },
  },
  {
    name: 'LeakyRelu',
    nodes: [conv(), nodeSpec('LeakyRelu', ['c'], 'y', { alpha: { float: 0.1 } })],
    tensors: convTensors(),
    fused: { 'com.microsoft.QLinearLeakyRelu': 1 },
  },
  {
    name: 'Sigmoid',
    nodes: [conv(), nodeSpec('Sigmoid', ['c'], 'y')],
    tensors: convTensors(),
    fused: { 'com.microsoft.QLinearSigmoid': 1 },
  },
  {
    name: 'Slice and Split between convolutions',
    nodes: [
      conv('a'),
      nodeSpec('Slice', ['a', 'starts', 'ends', 'axes'], 's'),
      { ...nodeSpec('Split', ['s', 'sizes'], 't', { axis: 1 }), outputs: ['t', 'u'] },
      nodeSpec('Conv', ['t', 'w'], 'v'),
      nodeSpec('Conv', ['u', 'w'], 'w2'),
      nodeSpec('Concat', ['v', 'w2'], 'y', { axis: 1 }),
    ],
    tensors: [
      ...convTensors('a'),
      integers('starts', [1]),
      integers('ends', [8]),
      integers('axes', [2]),
      integers('sizes', [8, 8]),
      weights('w', [16, 8, 1, 1]),
    ],
    fused: { [CONV]: 3, Slice: 1, Split: 1, QLinearConcat: 1 },
  },
  {
    name: 'Gather, SpaceToDepth and DepthToSpace between convolutions',
    nodes: [
      conv('a'),
      nodeSpec('Gather', ['a', 'reversed'], 'g', { axis: 1 }),
      nodeSpec('SpaceToDepth', ['g'], 's', { blocksize: 2 }),
      nodeSpec('Conv', ['s', 'w'], 'b'),
      nodeSpec('DepthToSpace', ['b'], 'd', { blocksize: 2, mode: 'CRD' }),
      conv('y', 'd'),
    ],
    tensors: [
      ...convTensors('a'),
      integers(
        'reversed',
        Array.from({ length: 16 }, (_, channel) => 15 - channel),
      ),
      weights('w', [64, 64, 1, 1]),
      ...convTensors('y'),
    ],
    input: [1, 16, 8, 8],
    fused: { [CONV]: 3, Gather: 1, SpaceToDepth: 1, DepthToSpace: 1 },
  },
  {
    name: 'Pad between a pool and a convolution',
    nodes: [
      conv('a'),
      nodeSpec('Pad', ['a', 'pads'], 'p'),
      nodeSpec('MaxPool', ['p'], 'm', { kernel_shape: [3, 3], strides: [2, 2] }),
      conv('y', 'm'),
    ],
    tensors: [...convTensors('a'), integers('pads', [0, 0, 1, 0, 0, 0, 0, 1]), ...convTensors('y')],
    fused: { [CONV]: 2, Pad: 1, NhwcMaxPool: 1 },
  },
  {
    name: 'Resize to the double size',
    nodes: [
      conv('a'),
      nodeSpec('Resize', ['a', '', 'scales'], 'r', {
        coordinate_transformation_mode: 'asymmetric',
        nearest_mode: 'floor',
      }),
      conv('y', 'r'),
    ],
    tensors: [
      ...convTensors('a'),
      makeTensor('scales', [4], Float32Array.of(1, 1, 2, 2)),
      ...convTensors('y'),
    ],
    fused: { [CONV]: 2, Resize: 1 },
  },
  {
    name: 'Relu and Clip with no layer before them',
    nodes: [
      conv('a'),
      nodeSpec('MaxPool', ['a'], 'm', { kernel_shape: [3, 3], strides: [2, 2] }),
      nodeSpec('Relu', ['m'], 'r'),
      conv('b', 'r'),
      nodeSpec('MaxPool', ['b'], 'n', { kernel_shape: [2, 2] }),
      nodeSpec('Clip', ['n', 'low', 'high'], 'k'),
      conv('y', 'k'),
    ],
    tensors: [
      ...convTensors('a'),
      ...convTensors('b'),
      ...convTensors('y'),
      scalar('low', -0.5),
      scalar('high', 0.75),
    ],
    fused: { [CONV]: 3, Clip: 2, NhwcMaxPool: 2 },
  },
  {
    name: 'HardSigmoid after a convolution goes into it',
    nodes: [conv(), nodeSpec('HardSigmoid', ['c'], 'y', { alpha: { float: 1 / 6 } })],
    tensors: convTensors(),
    fused: { [CONV]: 1 },
  },
  {
    name: 'channels first by a Transpose of the input, as tf2onnx writes',
    nodes: [nodeSpec('Transpose', ['input'], 't', { perm: [0, 3, 1, 2] }), conv('y', 't')],
    tensors: convTensors('y'),
    input: [1, 9, 9, 16],
    fused: { [CONV]: 1 },
  },
  {
    name: 'dilated and grouped Conv',
    nodes: [
      nodeSpec('Conv', ['input', 'w'], 'y', { group: 4, dilations: [2, 2], pads: [2, 2, 2, 2] }),
    ],
    tensors: [weights('w', [16, 4, 3, 3])],
    fused: { [CONV]: 1 },
  },
  {
    name: 'Gemm with alpha, beta and a bias of one row',
    nodes: [
      nodeSpec('Gemm', ['input', 'w', 'b'], 'y', {
        transB: 1,
        alpha: { float: 0.5 },
        beta: { float: 2 },
      }),
    ],
    tensors: [weights('w', [5, 32]), weights('b', [1, 5])],
    input: [2, 32],
    fused: { 'com.microsoft.QGemm': 1 },
  },
  {
    name: 'opset 10: Clip with attributes, Dropout',
    nodes: [
      conv(),
      nodeSpec('Clip', ['c'], 'k', { min: { float: 0 }, max: { float: 6 } }),
      nodeSpec('Dropout', ['k'], 'd', { ratio: { float: 0.2 } }),
      conv('y', 'd'),
    ],
    tensors: [...convTensors(), ...convTensors('y')],
    opset: 10,
    fused: { [CONV]: 2 },
  },
];

for (const { name, nodes, tensors, input = [1, 16, 9, 9], fused, opset } of CASES) {
  test(`${name}: runs in integers and follows float and unfused QDQ`, async (t) => {
    const model = smallModel({
      nodes,
      input,
      output: 'y',
      ...(tensors === undefined ? {} : { tensors }),
      ...(opset === undefined ? {} : { opset }),
    });
    const values = normalValues(
      'input',
      input.reduce((a, b) => a * b, 1),
    );
    const result = await quantizeOne(t, model, values);

    const operators = graphOf(result.model).node.map(({ opType }) => opType);
    assert.ok(operators.includes('QuantizeLinear') && operators.includes('DequantizeLinear'));
    assert.deepEqual(result.optimized.floatNodes, []);
    const counts = Object.entries(result.optimized.operators);
    for (const [operator, count] of Object.entries(fused)) {
      // QLinearConv and QLinearMatMul stand in the standard domain until layout changes move them.
      const plain = operator.replace('com.microsoft.', '');
      const found = counts.filter(([key]) => key.replace('com.microsoft.', '') === plain);
      assert.equal(
        found.reduce((sum, [, n]) => sum + n, 0),
        count,
        `${operator} in ${JSON.stringify(result.optimized.operators)}`,
      );
    }

    const floatOutput = result.float['y']!;
    const range = Math.max(...floatOutput) - Math.min(...floatOutput, 0);
    const quantum = result.plan.activations.get('y')?.scale ?? range / 255;
    for (const [i, reference] of floatOutput.entries()) {
      const fusedValue = result.fused['y']![i]!;
      // A fused graph differs from the unfused one by at most one code of the output.
      assert.ok(
        Math.abs(fusedValue - result.unfused['y']![i]!) <= quantum * 1.01,
        `${name} at ${i}`,
      );
      // Noise of input and weights: a few codes.
      assert.ok(Math.abs(fusedValue - reference) <= range * 0.04, `${name} at ${i}: ${fusedValue}`);
    }
  });
}
