import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createKernelTimes, kernelTimeLines } from '../../../src/training/kernel-times.ts';
import { createKernels } from '../../../src/training/kernels.ts';
import { trainNetwork } from '../../../src/training/training-loop.ts';
import { smallTraining } from '../../support/small-training.ts';
import { tensorflowOrSkip } from '../../support/tensorflow.ts';

test('times add up by kernel, the costliest first', () => {
  const times = createKernelTimes();
  times.observe('Relu', 10);
  times.observe('Conv2D', 25);
  times.observe('Relu', 5);
  assert.deepEqual(times.read(), [
    { kernel: 'Conv2D', count: 1, milliseconds: 25 },
    { kernel: 'Relu', count: 2, milliseconds: 15 },
  ]);
  assert.deepEqual(kernelTimeLines(times.read()), [
    ' 62.5 %      0.03 s         1 x  Conv2D',
    ' 37.5 %      0.01 s         2 x  Relu',
  ]);
});

test('kernels that run are observed', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const times = createKernelTimes();
  const kernels = createKernels(tf, { observe: times.observe });
  kernels.add(tf.ones([2]), tf.ones([2]));
  kernels.activate(tf.ones([2]), 'relu');
  kernels.activate(tf.ones([2]), 'relu');
  const counts = new Map(times.read().map(({ kernel, count }) => [kernel, count]));
  assert.deepEqual([counts.get('AddV2'), counts.get('Relu')], [1, 2]);
});

test('sums of gradients and the average of the weights are observed', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const times = createKernelTimes();
  const recipe = { epochs: 1, microBatchSize: 2, averageDecay: 0.9 };
  const { observe } = times;
  await trainNetwork({ ...(await smallTraining(context, tf, recipe)), observe });
  const counts = new Map(times.read().map(({ kernel, count }) => [kernel, count]));
  // Four steps of two parts: five gradients are summed up, seven averages are moved.
  assert.equal(counts.get('AddV2'), 4 * 5);
  assert.equal(counts.get('Sub'), 4 * 7);
});
