import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NetworkRunner } from '../../../src/training/network-runner.ts';
import { createOptimizer } from '../../../src/training/optimizer.ts';
import { tensorflowOrSkip } from '../../support/tensorflow.ts';

test('three steps are those of torch.optim.SGD', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  // torch.optim.SGD([w], lr=0.1, momentum=0.9, weight_decay=0.01), PyTorch 2.15, w = [1, -2, 0.5]
  const steps = [
    {
      gradient: [0.5, -1, 2],
      weights: [0.9490000009536743, -1.8980000019073486, 0.2994999885559082],
    },
    {
      gradient: [0.25, 0.5, -1],
      weights: [0.8771510124206543, -1.8543020486831665, 0.2187504768371582],
    },
    {
      gradient: [0, 1, 0.125],
      weights: [0.8116097450256348, -1.9131195545196533, 0.13335716724395752],
    },
  ];
  const before = tf.memory().numTensors;
  const parameters = new Map([['w', tf.tensor1d([1, -2, 0.5])]]);
  const runner = {
    parameters,
    replace: (name: string, tensor: typeof parameters extends Map<string, infer T> ? T : never) => {
      parameters.get(name)?.dispose();
      parameters.set(name, tf.keep(tensor));
    },
  } as unknown as NetworkRunner; // the optimizer uses these two members only
  const optimizer = createOptimizer(tf, runner, { momentum: 0.9 });
  for (const { gradient, weights } of steps) {
    optimizer.step(new Map([['w', tf.tensor1d(gradient)]]), () => ({
      learningRate: 0.1,
      weightDecay: 0.01,
    }));
    const actual = [...(parameters.get('w')?.dataSync() ?? [])];
    actual.forEach((value, i) => {
      assert.ok(Math.abs(value - (weights[i] ?? NaN)) < 2e-7, `${value} for ${String(weights[i])}`);
    });
  }
  optimizer.dispose();
  parameters.get('w')?.dispose();
  assert.equal(tf.memory().numTensors, before);
});
