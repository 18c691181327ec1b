import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Tensor4D } from '@tensorflow/tfjs-node';
import { createKernelTools } from '../../../src/training/kernel-tools.ts';
import { nativeOperations } from '../../../src/training/native-operations.ts';
import { createPoolingKernels } from '../../../src/training/pooling-kernels.ts';
import type { Window } from '../../../src/training/windows.ts';
import { tensorflowOrSkip } from '../../support/tensorflow.ts';

/** 3x3 windows with a step of 2 over a side of 8 pixels. */
function window(before: number, after: number): Window {
  return {
    ...{ kernelSize: 3, stride: 2, inputShape: { height: 8, width: 8 } },
    padding: { top: before, bottom: after, left: before, right: after },
  };
}

for (const [name, padding] of [
  ['no padding', window(0, 0)],
  ['padding as SAME means it', window(0, 1)],
  ['padding on both sides', window(1, 1)],
] as const) {
  test(`the pool for training and its gradient are TensorFlow's own: ${name}`, async (t) => {
    const tf = await tensorflowOrSkip(t);
    if (tf === null) return;
    const native = nativeOperations(tf);
    const kernels = createPoolingKernels(createKernelTools(tf, native), native);
    const before = tf.memory().numTensors;
    const x = tf.randomNormal([2, 8, 8, 3], -5, 1, 'float32', 1); // all below the zeros of a padding
    const { y, gradient } = kernels.maxPoolTraining(x, padding);
    const expectedY = kernels.maxPool(x, padding);
    assert.deepEqual(y.shape, expectedY.shape);
    assert.deepEqual(y.dataSync(), expectedY.dataSync());
    const dy = tf.randomNormal(y.shape, 0, 1, 'float32', 2);
    const dx = gradient(dy);
    // By tfjs's own gradient of a padded image: what the padding gets is cut off.
    const { top, bottom, left, right } = padding.padding;
    const pads: [number, number][] = [
      [0, 0],
      [top, bottom],
      [left, right],
      [0, 0],
    ];
    const expected = tf.grad((image) =>
      tf.maxPool<Tensor4D>(image.pad<Tensor4D>(pads, -100), 3, 2, 'valid').mul(dy),
    )(x);
    // An input that is the largest of several windows sums their gradients, in any order.
    const difference = tf.tidy(() => dx.sub(expected).abs().max().dataSync()[0] ?? NaN);
    assert.ok(difference < 1e-6, String(difference));
    for (const tensor of [x, y, expectedY, dy, dx, expected]) tensor.dispose();
    assert.equal(tf.memory().numTensors, before);
  });
}
