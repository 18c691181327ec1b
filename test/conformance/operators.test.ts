import { makeTensor } from '../../src/onnx/build.ts';
import {
  checkOperators,
  CONV,
  conv,
  convTensors,
  integers,
  scalar,
  weights,
} from '../support/operator-cases.ts';
import { nodeSpec, normalValues } from '../support/quantize-one.ts';

checkOperators([
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
    name: 'HardSigmoid after a convolution goes into it',
    nodes: [conv(), nodeSpec('HardSigmoid', ['c'], 'y', { alpha: { float: 1 / 6 } })],
    tensors: convTensors(),
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
]);
