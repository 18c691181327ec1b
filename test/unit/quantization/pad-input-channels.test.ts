import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeModel, makeNode, makeTensor, makeValueInfo } from '../../../src/onnx/build.ts';
import { graphOf } from '../../../src/onnx/model.ts';
import type { Target } from '../../../src/quantization/choices.ts';
import { quantizeModel } from '../../../src/quantization/quantize-model.ts';

/** How many Pad nodes the quantized form of one convolution over three channels has. */
function padCount(windowPx: number, target: Target): number {
  const area = windowPx * windowPx;
  const model = makeModel({
    ...{ graphName: 'one convolution', opset: 17 },
    inputs: [makeValueInfo('image', [1, 3, 16, 16])],
    outputs: [makeValueInfo('y', [1, 16, 17 - windowPx, 17 - windowPx])],
    initializers: [makeTensor('weight', [16, 3, windowPx, windowPx], new Float32Array(48 * area))],
    nodes: [makeNode({ opType: 'Conv', name: 'c', inputs: ['image', 'weight'], outputs: ['y'] })],
  });
  const tensors = { image: { min: -1, max: 1 }, y: { min: -1, max: 1 } };
  const { model: quantized } = quantizeModel(
    model,
    { tensors },
    { granularity: 'per-channel', weightRange: 'max', target, firstConvolution: 'pad' },
  );
  return graphOf(quantized).node.filter(({ opType }) => opType === 'Pad').length;
}

test('windows up to 7 x 7, for avx2 3 x 3, get a fourth channel, larger ones would only work more', () => {
  const countsOf = (target: Target): number[] => [3, 5, 7, 9, 11].map((px) => padCount(px, target));
  assert.deepEqual(countsOf('vnni'), [1, 1, 1, 0, 0]);
  assert.deepEqual(countsOf('avx2'), [1, 0, 0, 0, 0]);
});
