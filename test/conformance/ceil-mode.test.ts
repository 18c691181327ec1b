import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  nodeSpec,
  normalTensor,
  normalValues,
  quantizeOne,
  smallModel,
} from '../support/quantize-one.ts';

for (const [what, width, pools] of [
  ['end with the image: a convolution', 8, 0],
  ['reach beyond the image: a pool', 7, 1],
] as const) {
  test(`averages in ceil mode whose windows ${what}`, async (t) => {
    const model = smallModel({
      nodes: [
        nodeSpec('Conv', ['input', 'w'], 'c'),
        nodeSpec('AveragePool', ['c'], 'y', {
          ...{ kernel_shape: [2, 2], strides: [2, 2], ceil_mode: 1 },
        }),
      ],
      tensors: [normalTensor('w', [16, 16, 1, 1], 0.2)],
      input: [1, 16, 6, width],
      output: 'y',
    });
    const result = await quantizeOne(t, model, normalValues('input', 16 * 6 * width));
    assert.deepEqual(result.optimized.floatNodes, []);
    assert.equal(result.optimized.operators['com.microsoft.QLinearConv'], 2 - pools);
    assert.equal(result.optimized.operators['com.microsoft.QLinearAveragePool'] ?? 0, pools);
    const expected = result.float['y']!;
    const range = Math.max(...expected) - Math.min(...expected);
    for (const [i, value] of expected.entries()) {
      assert.ok(Math.abs(value - result.fused['y']![i]!) <= 0.04 * range, `at ${i}`);
    }
  });
}
