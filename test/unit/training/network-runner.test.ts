import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Rank, Tensor, Tensor2D, Tensor4D } from '@tensorflow/tfjs-node';
import { createNetworkBuilder } from '../../../src/models/network-builder.ts';
import {
  parameterSpecs,
  type ConvolutionLayer,
  type Network,
} from '../../../src/models/network.ts';
import { randomWeights, type Weights } from '../../../src/models/weights.ts';
import { createRandom } from '../../../src/numeric/random.ts';
import type { Tensorflow } from '../../../src/runtime/tensorflow.ts';
import { relativeDifference } from '../../../src/training/export-checked-onnx.ts';
import { cpuHasBfloat16 } from '../../../src/benchmark/machine.ts';
import { usablePrecision, type Precision } from '../../../src/training/precision.ts';
import { normalizesThroughInput } from '../../../src/training/pointwise-batch-norm.ts';
import { createNetworkRunner } from '../../../src/training/network-runner.ts';
import { NETWORK_OPTIONS } from '../../support/formula-weights.ts';
import { tensorflowOrSkip } from '../../support/tensorflow.ts';

/** Every kind of layer once: stride and pads on both sides, depthwise, residual sums, pools, dense. */
function sampleNetwork(batchNorm: 'standard' | 'none', wideChannels = 24): Network {
  const builder = createNetworkBuilder({
    ...NETWORK_OPTIONS,
    batchNorm,
    imageSize: 13,
    classCount: 3,
  });
  const convolution = { kernelSize: 3, activation: 'relu6' } as const;
  builder.convolution({
    ...convolution,
    weightName: 'c1',
    batchNormName: 'b1',
    outputChannels: 8,
    stride: 2,
  });
  const input = builder.last;
  builder.convolution({
    ...convolution,
    weightName: 'c2',
    batchNormName: 'b2',
    outputChannels: 8,
    depthwise: true,
  });
  const main = builder.convolution({
    ...{ weightName: 'c3', batchNormName: 'b3', outputChannels: 8, kernelSize: 1 },
    activation: 'none',
  });
  builder.add(input, main, 'relu');
  // Many channels out of few, as before a depthwise convolution and at the end of a bottleneck.
  builder.convolution({
    ...{ weightName: 'c4', batchNormName: 'b4', outputChannels: wideChannels, kernelSize: 1 },
    // Of a million values one lies so near to 0 or 6 that rounding decides whether its gradient counts.
    activation: wideChannels > 100 ? 'none' : 'relu6',
  });
  builder.convolution({
    ...{ weightName: 'c5', batchNormName: 'b5', outputChannels: 16, kernelSize: 1 },
    activation: 'relu6',
  });
  builder.maxPool(3, 2, 1);
  builder.flatten();
  builder.dense('d1', 5, 'relu');
  builder.dense('d2', 3, 'none');
  return builder.build();
}

/** The same network in stock tfjs operations, whose gradients come from tfjs. */
function stockLoss(
  tf: Tensorflow,
  network: Network,
  x: Tensor4D,
  labels: Tensor,
  values: ReadonlyMap<string, Tensor>,
): Tensor {
  const value = (name: string): Tensor => values.get(name)!; // all names come from parameterSpecs
  const outputs = new Map<string, Tensor>([['input', x]]);
  for (const layer of network.layers) {
    const input = outputs.get(layer.input)!; // layers come after those they read
    outputs.set(layer.name, stockLayer(tf, layer, input, outputs, value));
  }
  const logits = outputs.get('d2')!; // the head
  return tf.losses.softmaxCrossEntropy(labels as never, logits as never);
}

function stockLayer(
  tf: Tensorflow,
  layer: Network['layers'][number],
  input: Tensor,
  outputs: ReadonlyMap<string, Tensor>,
  value: (name: string) => Tensor,
): Tensor {
  switch (layer.kind) {
    case 'convolution': {
      const z = stockConvolution(tf, layer, input, value(`${layer.weightName}.weight`));
      const normalized = stockNormalization(tf, layer, z, value);
      return layer.activation === 'none' ? normalized : normalized.clipByValue(0, 6);
    }
    case 'dense': {
      const sum = tf
        .matMul(input, value(`${layer.weightName}.weight`))
        .add(value(`${layer.weightName}.bias`));
      return layer.activation === 'none' ? sum : sum.relu();
    }
    case 'max-pool': {
      // Values are not negative here, so zeros do as padding.
      const { top, bottom, left, right } = layer.padding;
      const padded = input.pad([
        [0, 0],
        [top, bottom],
        [left, right],
        [0, 0],
      ]);
      return tf.maxPool(padded as Tensor4D, layer.kernelSize, layer.stride, 'valid');
    }
    case 'add':
      return input.add(outputs.get(layer.secondInput)!).relu();
    default:
      return input.reshape([input.shape[0], -1]);
  }
}

function stockConvolution(
  tf: Tensorflow,
  layer: ConvolutionLayer,
  input: Tensor,
  weight: Tensor,
): Tensor {
  const { top, bottom, left, right } = layer.padding;
  const padded = input.pad<Tensor4D>([
    [0, 0],
    [top, bottom],
    [left, right],
    [0, 0],
  ]);
  const convolve = layer.depthwise ? tf.depthwiseConv2d : tf.conv2d;
  return convolve(padded, weight as Tensor4D, layer.stride, 'valid');
}

function stockNormalization(
  tf: Tensorflow,
  { weightName, batchNormName }: ConvolutionLayer,
  z: Tensor,
  value: (name: string) => Tensor,
): Tensor {
  if (batchNormName === null) return z.add(value(`${weightName}.bias`));
  const { mean, variance } = tf.moments(z, [0, 1, 2]);
  return z
    .sub(mean)
    .div(variance.add(1e-5).sqrt())
    .mul(value(`${batchNormName}.weight`))
    .add(value(`${batchNormName}.bias`));
}

function sampleWeights(network: Network): Weights {
  const weights = randomWeights(network, 5);
  const random = createRandom(5, 'test');
  for (const { name, role } of parameterSpecs(network)) {
    if (role === 'gamma' || role === 'beta' || role === 'bias') {
      weights.set(
        name,
        weights.get(name)!.map((value) => value + 0.3 * random.normal()),
      );
    }
  }
  return weights;
}

for (const { batchNorm, wideChannels, images } of [
  { batchNorm: 'standard', wideChannels: 24, images: 4 },
  { batchNorm: 'none', wideChannels: 24, images: 4 },
  // Values enough that batch norm of c4 is computed from its input.
  { batchNorm: 'standard', wideChannels: 1024, images: 84 },
] as const) {
  test(`loss and gradients are those of stock operations, batchNorm ${batchNorm}, ${images} images`, async (context) => {
    const tf = await tensorflowOrSkip(context);
    if (tf === null) return;
    const network = sampleNetwork(batchNorm, wideChannels);
    const c4 = network.layers.find(
      (layer) => layer.kind === 'convolution' && layer.weightName === 'c4',
    ) as ConvolutionLayer;
    assert.equal(normalizesThroughInput(c4, 'float32', images), images === 84);
    const runner = createNetworkRunner(tf, network, sampleWeights(network));
    const x = tf.randomNormal<Rank.R4>([images, 13, 13, 3], 0, 1, 'float32', 7);
    const labels = tf
      .oneHot(
        Array.from({ length: images }, (_, i) => [0, 2, 1, 2][i % 4]!),
        3,
      )
      .cast<Tensor2D>('float32');

    const trained = parameterSpecs(network).filter(
      ({ role }) => role !== 'mean' && role !== 'variance',
    );
    const variables = trained.map(({ name }) => runner.parameters.get(name)!.clone());
    const expected = tf.valueAndGrads((...values: Tensor[]) =>
      stockLoss(
        tf,
        network,
        x,
        labels,
        new Map(values.map((tensor, i) => [trained[i]!.name, tensor])),
      ).asScalar(),
    )(variables);

    const before = tf.memory().numTensors;
    const pass = runner.trainingPass(x, labels, { dropoutSeed: 0 });
    assert.equal(tf.memory().numTensors - before, trained.length, 'only the gradients are left');

    assert.ok(Math.abs(pass.loss - (expected.value.dataSync()[0] ?? NaN)) < 1e-5);
    assert.deepEqual([...pass.gradients.keys()].sort(), trained.map(({ name }) => name).sort());
    trained.forEach(({ name }, i) => {
      // The batch norm after c5 takes away what b4.bias adds, where nothing bends in between: its gradient is 0.
      if (wideChannels > 100 && name === 'b4.bias') return;
      const difference = relativeDifference(
        expected.grads[i]!.dataSync(),
        pass.gradients.get(name)!.dataSync(),
      );
      assert.ok(difference < 1e-4, `${name}: ${difference}`);
    });
    for (const gradient of pass.gradients.values()) gradient.dispose();
  });
}

test('images count as right by their labels, whatever the most probable class of their targets', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const network = sampleNetwork('standard');
  const runner = createNetworkRunner(tf, network, sampleWeights(network));
  const x = tf.randomNormal<Rank.R4>([4, 13, 13, 3], 0, 1, 'float32', 7);
  // As smoothing and the weight of a rare class leave them: none is most probable by its label.
  const targets = tf.tensor2d([0.2, 0.5, 0.3, 0.2, 0.5, 0.3, 0.2, 0.5, 0.3, 0.2, 0.5, 0.3], [4, 3]);
  const { gradients } = runner.trainingPass(x, targets, { dropoutSeed: 0 });
  for (const gradient of gradients.values()) gradient.dispose();
  const counts = [0, 1, 2].map((label) => {
    const labels = new Int32Array(4).fill(label);
    const pass = runner.trainingPass(x, targets, { dropoutSeed: 0, labels });
    for (const gradient of pass.gradients.values()) gradient.dispose();
    return pass.correctCount;
  });
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    4,
    'each image is right by one label',
  );
});

test('bfloat16 gives nearly the same gradients, in float32, and leaves the weights exact', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  for (const batchNorm of ['standard', 'none'] as const) {
    const network = sampleNetwork(batchNorm);
    const weights = sampleWeights(network);
    const x = tf.randomNormal<Rank.R4>([4, 13, 13, 3], 0, 1, 'float32', 7);
    const labels = tf.oneHot([0, 2, 1, 2], 3).cast<Tensor2D>('float32');
    const pass = (precision: Precision): { values: number[]; loss: number; logits: number[] } => {
      const runner = createNetworkRunner(tf, network, weights, { precision });
      const before = tf.memory().numTensors;
      const { gradients, loss } = runner.trainingPass(x, labels, { dropoutSeed: 0 });
      assert.equal(tf.memory().numTensors - before, gradients.size, 'only gradients are left');
      const values = [...gradients.keys()]
        .sort()
        .flatMap((name) => [...gradients.get(name)!.dataSync<'float32'>()]);
      const logits = [...(runner.predict(x).dataSync() as Float32Array)];
      return { values, loss, logits };
    };
    const exact = pass('float32');
    const precision = usablePrecision('bfloat16', cpuHasBfloat16());
    const coarse = pass(precision);
    const difference = relativeDifference(exact.values, coarse.values);
    // Eight bits of a mantissa are 0.4 %; some layers of them were in between.
    assert.equal(difference > 1e-4, precision === 'bfloat16', `${batchNorm}: ${difference}`);
    assert.ok(difference < 0.1, `${batchNorm}: ${difference}`);
    assert.ok(Math.abs(coarse.loss - exact.loss) < 0.02 * exact.loss);
    if (batchNorm === 'none') assert.deepEqual(coarse.logits, exact.logits); // predictions are float32
  }
});

test('frozen layers run as in inference and stay as they are, the others learn as they would', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const network = sampleNetwork('standard');
  const weights = sampleWeights(network);
  const x = tf.randomNormal<Rank.R4>([4, 13, 13, 3], 0, 1, 'float32', 7);
  const labels = tf.oneHot([0, 2, 1, 2], 3).cast<Tensor2D>('float32');
  const layersWithWeights = network.layers.filter(
    ({ kind }) => kind === 'convolution' || kind === 'dense',
  );
  for (const frozenCount of [1, 2, 3, 4, 5, 6]) {
    const runner = createNetworkRunner(tf, network, weights);
    const frozen = layersWithWeights.slice(0, frozenCount);
    const frozenLayers = new Set(frozen.map(({ name }) => name));
    const tensorCount: number = tf.memory().numTensors;
    const { gradients, loss } = runner.trainingPass(x, labels, { dropoutSeed: 0, frozenLayers });
    assert.equal(tf.memory().numTensors - tensorCount, gradients.size, 'only gradients are left');
    const learnt = parameterSpecs(network).filter(
      ({ role, layer }) => role !== 'mean' && role !== 'variance' && !frozenLayers.has(layer.name),
    );
    assert.deepEqual([...gradients.keys()].sort(), learnt.map(({ name }) => name).sort());
    for (const { name, role, layer } of parameterSpecs(network)) {
      const isSame =
        relativeDifference(weights.get(name) ?? [], runner.parameters.get(name)!.dataSync()) === 0;
      const isMoved = role === 'mean' || role === 'variance';
      assert.equal(isSame, frozenLayers.has(layer.name) || !isMoved, name);
    }
    if (frozenCount >= 5) {
      // No batch norm learns any more, so the loss is that of inference.
      const expected = tf.losses.softmaxCrossEntropy(labels, runner.predict(x) as Tensor2D);
      assert.ok(Math.abs(loss - (expected.dataSync()[0] ?? NaN)) < 1e-5);
    }
    // A step down the gradient of the head lowers the loss by about its squared length times the rate.
    const gradient = gradients.get('d2.weight')!;
    const square = gradient.square().sum().dataSync()[0] ?? NaN;
    const weight = runner.parameters.get('d2.weight')!;
    runner.replace('d2.weight', weight.sub(gradient.mul(1e-3)));
    const after = runner.trainingPass(x, labels, { dropoutSeed: 0, frozenLayers });
    const ratio = (loss - after.loss) / (1e-3 * square);
    assert.ok(Math.abs(ratio - 1) < 0.05, `frozen ${frozenCount}: ${ratio}`);
    tf.dispose([...gradients.values(), ...after.gradients.values()]);
    runner.dispose();
  }
  assert.throws(
    () =>
      createNetworkRunner(tf, network, weights).trainingPass(x, labels, {
        dropoutSeed: 0,
        frozenLayers: new Set([layersWithWeights[1]!.name]),
      }),
    /frozen behind a layer that learns/,
  );
});

test("batch norm moves its averages as PyTorch's BatchNorm2d", async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const { createKernels } = await import('../../../src/training/kernels.ts');
  // [N 2, H 1, W 2, C 2]; torch.nn.BatchNorm2d(2) in training on the same values
  const x = tf.tensor4d([1, 0, 2, 4, 3, -2, 6, 2], [2, 1, 2, 2]);
  const kernels = createKernels(tf);
  const inputs = {
    ...{ x, gamma: tf.ones([2]), beta: tf.zeros([2]) },
    ...{ movingMean: tf.zeros([2]), movingVariance: tf.ones([2]) },
  };
  const result = kernels.batchNormTraining(inputs, 'none');
  const close = (tensor: Tensor, expected: number[]): void => {
    assert.ok(relativeDifference(expected, tensor.dataSync()) < 1e-6, String(tensor.dataSync()));
  };
  close(result.mean, [0.30000001192092896, 0.10000000149011612]);
  close(result.variance, [1.3666666746139526, 1.566666603088379]);
  close(
    result.y,
    [
      -1.0690433979034424, -0.44721314311027527, -0.5345216989517212, 1.3416393995285034, 0,
      -1.3416393995285034, 1.6035650968551636, 0.44721314311027527,
    ],
  );
  // With a ReLU behind it another kernel does both.
  const rectified = kernels.batchNormTraining(inputs, 'relu');
  close(rectified.y, [...result.y.relu().dataSync()]);
  close(rectified.mean, [...result.mean.dataSync()]);
  close(rectified.variance, [...result.variance.dataSync()]);
  const dy = tf.tensor4d([1, 2, -3, 4, -5, 6, 7, -8], [2, 1, 2, 2]);
  const [dx, dgamma, dbeta] = kernels.batchNormGradient(dy, x, inputs.gamma, rectified.reserved);
  const expected = kernels.batchNormGradient(dy, x, inputs.gamma, result.reserved);
  for (const [i, gradient] of [dx, dgamma, dbeta].entries()) {
    close(gradient, [...expected[i]!.dataSync()]);
  }
});

test('predictions leave nothing behind, and dropout is off in them', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const { buildNetwork } = await import('../../../src/models/zoo.ts');
  const network = buildNetwork({ ...NETWORK_OPTIONS, widthMultiplier: 0.1, dropout: 0.5 });
  const runner = createNetworkRunner(tf, network, randomWeights(network, 0));
  const x = tf.randomNormal<Rank.R4>([2, 64, 64, 3]);
  const first = runner.predict(x);
  const before = tf.memory().numTensors;
  const second = runner.predict(x);
  assert.equal(tf.memory().numTensors, before + 1);
  assert.deepEqual(second.dataSync(), first.dataSync());
});
