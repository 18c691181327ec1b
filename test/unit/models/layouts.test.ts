import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  convolutionFromTorch,
  convolutionToTorch,
  reorderFlattenedRows,
  transpose,
} from '../../../src/models/layouts.ts';

test('a convolution [out 2, in 2, 1, 2] becomes [1, 2, in 2, out 2] and comes back', () => {
  // oihw: o0i0: 1 2, o0i1: 3 4, o1i0: 5 6, o1i1: 7 8
  const oihw = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  // hwio: column 0: (i0: 1 5, i1: 3 7), column 1: (i0: 2 6, i1: 4 8)
  const hwio = Float32Array.of(1, 5, 3, 7, 2, 6, 4, 8);
  assert.deepEqual(convolutionFromTorch(oihw, [1, 2, 2, 2], false), hwio);
  assert.deepEqual(convolutionToTorch(hwio, [1, 2, 2, 2], false), oihw);
});

test('a depthwise kernel [channels 2, 1, 1, 3] becomes [1, 3, 2, 1] and comes back', () => {
  const torch = Float32Array.of(1, 2, 3, 10, 20, 30);
  const tensorflow = Float32Array.of(1, 10, 2, 20, 3, 30);
  assert.deepEqual(convolutionFromTorch(torch, [1, 3, 2, 1], true), tensorflow);
  assert.deepEqual(convolutionToTorch(tensorflow, [1, 3, 2, 1], true), torch);
});

test('a matrix is transposed', () => {
  assert.deepEqual(
    transpose(Float32Array.of(1, 2, 3, 4, 5, 6), 2, 3),
    Float32Array.of(1, 4, 2, 5, 3, 6),
  );
});

test('rows after a flatten change between [H, W, C] and [C, H, W]', () => {
  // 1 x 2 positions, 2 channels, 1 column: rows (p0 c0) (p0 c1) (p1 c0) (p1 c1)
  const hwc = Float32Array.of(1, 2, 3, 4);
  const chw = Float32Array.of(1, 3, 2, 4);
  const shape = { height: 1, width: 2, channels: 2 };
  assert.deepEqual(reorderFlattenedRows(hwc, shape, 'hwc-to-chw'), chw);
  assert.deepEqual(reorderFlattenedRows(chw, shape, 'chw-to-hwc'), hwc);
});
