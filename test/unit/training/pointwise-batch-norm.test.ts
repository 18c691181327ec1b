import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-node';
import type { ConvolutionLayer } from '../../../src/models/network.ts';
import { relativeDifference } from '../../../src/training/export-checked-onnx.ts';
import { createKernels } from '../../../src/training/kernels.ts';
import type { LayerRuntime } from '../../../src/training/layer-runtime.ts';
import {
  normalizePointwise,
  normalizesThroughInput,
} from '../../../src/training/pointwise-batch-norm.ts';
import { tensorflowOrSkip } from '../../support/tensorflow.ts';

function layerOf(inputChannels: number, outputChannels: number) {
  return {
    ...{ kind: 'convolution', name: 'c', input: 'input', weightName: 'c', batchNormName: 'b' },
    ...{ kernelSize: 1, stride: 1, depthwise: false, activation: 'none' },
    padding: { top: 0, bottom: 0, left: 0, right: 0 },
    inputShape: { height: 9, width: 7, channels: inputChannels },
    outputShape: { height: 9, width: 7, channels: outputChannels },
  } as const satisfies ConvolutionLayer;
}

test('few input channels, one place, float32, many values', () => {
  const of = (
    changes: Partial<ConvolutionLayer>,
    precision: 'float32' | 'bfloat16' = 'float32',
    imageCount = 1000,
  ): boolean => normalizesThroughInput({ ...layerOf(16, 96), ...changes }, precision, imageCount);
  assert.ok(of({}));
  assert.ok(of(layerOf(64, 256)));
  assert.ok(!of(layerOf(256, 64)));
  assert.ok(!of(layerOf(512, 2048)));
  assert.ok(!of({ kernelSize: 3 }));
  assert.ok(!of({ stride: 2 }));
  assert.ok(!of({ depthwise: true }));
  assert.ok(!of({ batchNormName: null }));
  assert.ok(!of({}, 'bfloat16'));
  assert.ok(!of({}, 'float32', 32)); // too little to save
});

test('values, running statistics and gradients are those of the kernels of batch norm', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const kernels = createKernels(tf);
  const layer = layerOf(6, 20);
  const random = (shape: number[], mean: number, seed: number): Tensor =>
    tf.randomNormal(shape, mean, 1, 'float32', seed);
  // Means of five standard deviations, whose squares have to cancel.
  const x = random([4, 9, 7, 6], 5, 1) as Tensor4D;
  const parameters: Readonly<Record<string, Tensor>> = {
    'c.weight': random([1, 1, 6, 20], 0, 2),
    'b.weight': random([20], 1, 3),
    'b.bias': random([20], 0, 4),
    'b.running_mean': random([20], 0, 5),
    'b.running_var': tf.ones([20]),
  };
  const parameter = (name: string): Tensor => parameters[name]!; // the five that a layer has
  const dy = random([4, 9, 7, 20], 0, 6);

  const z = kernels.convolution(x, parameter('c.weight'), layer);
  const gamma = parameter('b.weight');
  const expected = kernels.batchNormTraining(
    {
      ...{ x: z, gamma, beta: parameter('b.bias') },
      ...{ movingMean: parameter('b.running_mean'), movingVariance: parameter('b.running_var') },
    },
    'none',
  );
  const [dz, dgamma, dbeta] = kernels.batchNormGradient(dy, z, gamma, expected.reserved);

  const runtime = { tf, kernels, parameter } as unknown as LayerRuntime; // all that is read of it
  const before = tf.memory().numTensors;
  const result = normalizePointwise(runtime, layer, x);
  const gradients = result.gradients(dy, true);
  assert.equal(tf.memory().numTensors - before, 7, 'only results are left');
  const pairs: Readonly<Record<string, readonly [Tensor, Tensor]>> = {
    y: [expected.y, result.y],
    mean: [expected.mean, result.runningMean],
    variance: [expected.variance, result.runningVariance],
    gamma: [dgamma, gradients.gamma],
    beta: [dbeta, gradients.beta],
    weight: [kernels.convolutionWeightGradient(dz, x, layer, [1, 1, 6, 20]), gradients.weight],
    input: [
      kernels.convolutionInputGradient(dz, parameter('c.weight'), layer, x.shape),
      gradients.input!, // wanted
    ],
  };
  for (const [name, [wanted, found]] of Object.entries(pairs)) {
    const difference = relativeDifference(wanted.dataSync(), found.dataSync());
    assert.ok(difference < 1e-4, `${name}: ${difference}`);
  }
  const again = normalizePointwise(runtime, layer, x).gradients(dy, false);
  assert.equal(again.input, null);
});
