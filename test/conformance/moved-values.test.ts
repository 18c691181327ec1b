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
import { nodeSpec } from '../support/quantize-one.ts';

/** Opsets in which their inputs or kernels differ. */
const OPSETS = [13, 17, 18, 20, 21];

/** ReduceMax and ReduceMin, whose axes are an input from opset 18 on. */
const reductions = OPSETS.flatMap((opset) =>
  ['ReduceMax', 'ReduceMin'].map((operator) => ({
    name: `${operator} of the channels and of the image, opset ${opset}`,
    nodes: [
      conv('a'),
      ...(opset < 18
        ? [
            nodeSpec(operator, ['a'], 'm', { axes: [1] }),
            nodeSpec(operator, ['a'], 'g', { axes: [-1, 2] }),
          ]
        : [nodeSpec(operator, ['a', 'channels'], 'm'), nodeSpec(operator, ['a', 'image'], 'g')]),
      nodeSpec('Mul', ['m', 'g'], 'p'),
      conv('y', 'p'),
    ],
    tensors: [
      ...convTensors('a'),
      ...convTensors('y'),
      integers('channels', [1]),
      integers('image', [-1, 2]),
    ],
    opset,
    fused: { [CONV]: 2, [operator]: 2, QLinearMul: 1 },
  })),
);

const copies = OPSETS.flatMap((opset) =>
  ['Expand', 'Tile'].map((operator) => ({
    name: `${operator}, opset ${opset}`,
    nodes: [
      conv('a'),
      nodeSpec('GlobalAveragePool', ['a'], 'g'),
      nodeSpec(operator, ['g', 'shape'], 'e'),
      nodeSpec('Concat', ['a', 'e'], 'c', { axis: 1 }),
      nodeSpec('Conv', ['c', 'w'], 'y'),
    ],
    tensors: [...convTensors('a'), integers('shape', [1, 1, 9, 9]), weights('w', [8, 32, 1, 1])],
    opset,
    fused: { [CONV]: 2, [operator]: 1, QLinearConcat: 1 },
  })),
);

checkOperators([
  ...reductions,
  ...copies,
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
    name: 'channels first by a Transpose of the input, as tf2onnx writes',
    nodes: [nodeSpec('Transpose', ['input'], 't', { perm: [0, 3, 1, 2] }), conv('y', 't')],
    tensors: convTensors('y'),
    input: [1, 9, 9, 16],
    fused: { [CONV]: 1 },
  },
]);
