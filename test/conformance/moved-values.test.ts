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

checkOperators([
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
