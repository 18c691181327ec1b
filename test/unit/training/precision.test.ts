import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuHasBfloat16 } from '../../../src/benchmark/machine.ts';
import { createKernels } from '../../../src/training/kernels.ts';
import { PRECISIONS, usablePrecision } from '../../../src/training/precision.ts';
import { tensorflowOrSkip } from '../../support/tensorflow.ts';

test('bfloat16 is float32 where the CPU has no instructions for it', () => {
  assert.equal(usablePrecision('bfloat16', true), 'bfloat16');
  assert.equal(usablePrecision('bfloat16', false), 'float32');
  assert.equal(usablePrecision('float32', true), 'float32');
});

test('in both precisions ReLU6 is ReLU up to 6, and what is not a number stays so', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  for (const wanted of PRECISIONS) {
    const kernels = createKernels(tf, { precision: usablePrecision(wanted, cpuHasBfloat16()) });
    const outputOf = (activation: 'relu' | 'relu6', offset: number): number[] =>
      tf.tidy(() => {
        const x = kernels.toCompute(tf.randomNormal([2, 4, 4, 3], 0, 1, 'float32', 5).add(offset));
        const { y } = kernels.batchNormTraining(
          {
            ...{ x, gamma: tf.fill([3], 5), beta: tf.fill([3], 1) },
            ...{ movingMean: tf.zeros([3]), movingVariance: tf.ones([3]) },
          },
          activation,
        );
        return [...kernels.toFloat32(y).dataSync<'float32'>()];
      });
    const whole = outputOf('relu', 0);
    assert.ok(whole.some((value) => value > 6) && whole.includes(0));
    assert.deepEqual(
      outputOf('relu6', 0),
      whole.map((value) => Math.min(value, 6)),
    );
    assert.ok(outputOf('relu6', Infinity).every(Number.isNaN)); // infinity less infinity
  }
});
