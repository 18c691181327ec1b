import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blockedAxis, blockWeights } from '../../../src/quantization/pixel-blocks.ts';

test('windows of two pixels a step become windows of one block a step', () => {
  // 7 pixels that begin at -3, 1, …: four blocks that begin at -4.
  assert.deepEqual(blockedAxis({ size: 224, kernelSize: 7, padBefore: 3, padAfter: 3 }), {
    padBefore: 4,
    padAfter: 2,
    offset: 1,
    kernelSize: 4,
  });
  // 5 pixels that begin at -2, the last at 220: it ends at 224 and its block at 225.
  assert.deepEqual(blockedAxis({ size: 224, kernelSize: 5, padBefore: 2, padAfter: 2 }), {
    padBefore: 2,
    padAfter: 2,
    offset: 0,
    kernelSize: 3,
  });
  // 11 windows begin at 0, 2, … 20; the last ends at 26 and its block at 27.
  assert.deepEqual(blockedAxis({ size: 27, kernelSize: 7, padBefore: 0, padAfter: 0 }), {
    padBefore: 0,
    padAfter: 1,
    offset: 0,
    kernelSize: 4,
  });
  // The last window of 8 ends at 7: pixel 8 would be left over.
  assert.equal(blockedAxis({ size: 9, kernelSize: 8, padBefore: 0, padAfter: 0 }), null);
  assert.equal(blockedAxis({ size: 4, kernelSize: 7, padBefore: 0, padAfter: 0 }), null);
});

test('weights go to the channels of their pixels', () => {
  // [M 1, C 2, 1, 3] that begin at the second pixel of a row of blocks and at the first of a column.
  const row = { padBefore: 0, padAfter: 0, offset: 0, kernelSize: 1 };
  const column = { padBefore: 0, padAfter: 0, offset: 1, kernelSize: 2 };
  const weights = blockWeights(Float32Array.of(1, 2, 3, 4, 5, 6), [1, 2, 1, 3], row, column);
  // Channels: row 0, column 0 of both inputs, column 1 of both, then row 1; two places each.
  assert.deepEqual([...weights], [0, 2, 0, 5, 1, 3, 4, 6, ...Array<number>(8).fill(0)]);
});
