import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { headFit } from '../../../src/models/head-for-classes.ts';
import { loadInitialWeights, type InitialWeights } from '../../../src/models/initial-weights.ts';
import { TORCH_WEIGHTS_FILE, writeWeightsFolder } from '../../../src/models/weights-folder.ts';
import { topologyOfMetadata } from '../../../src/models/weights-topology.ts';
import { initialValues, randomWeights, weightOf } from '../../../src/models/weights.ts';
import { headOf, parameterSpecs } from '../../../src/models/network.ts';
import { buildNetwork } from '../../../src/models/zoo.ts';
import { NETWORK_OPTIONS } from '../../support/formula-weights.ts';
import { temporaryFolder } from '../../support/stage-context.ts';

const NETWORK = buildNetwork({ ...NETWORK_OPTIONS, widthMultiplier: 0.1, classCount: 3 });
const NORMALIZATION = { mean: [0, 0, 0], std: [1, 1, 1] } satisfies InitialNormalization;
type InitialNormalization = NonNullable<InitialWeights['trained']>['normalization'];
const TRAINED_CLASSES = ['cat', 'dog', 'zebra'];
const WEIGHT = 'classifier.1.weight';
const BIAS = 'classifier.1.bias';

/** Weights with a bias of 1, 2 and 3, and a weight whose column is that of the bias, for `TRAINED_CLASSES`. */
function trainedWeights(): Map<string, Float32Array> {
  return randomWeights(NETWORK, 1)
    .set(BIAS, Float32Array.of(1, 2, 3))
    .set(
      WEIGHT,
      Float32Array.from({ length: 3 * 1280 }, (_, i) => 10 * Math.floor(i / 3) + (i % 3) + 1),
    );
}

/** A start from what a training on `TRAINED_CLASSES` left, or from one file of it. */
async function start(
  context: TestContext,
  source: 'folder' | 'file',
  classes: readonly string[],
): Promise<InitialWeights> {
  const folder = await temporaryFolder(context);
  await writeWeightsFolder(folder, NETWORK, trainedWeights(), {
    classes: TRAINED_CLASSES,
    normalization: NORMALIZATION,
  });
  const path = source === 'folder' ? folder : join(folder, TORCH_WEIGHTS_FILE);
  return loadInitialWeights(NETWORK, path, { classes, seed: 5, initialization: 'published' });
}

test('heads are compared by their classes, where there are as many', () => {
  assert.deepEqual(headFit(['a', 'b'], ['a', 'b']), { kind: 'by-shape' });
  assert.deepEqual(headFit(['a', 'b'], ['b', 'a', 'c']), { kind: 'by-shape' });
  assert.deepEqual(headFit(['a', 'b', 'c'], ['c', 'a', 'b']), {
    kind: 'reordered',
    from: [2, 0, 1],
  });
  assert.deepEqual(headFit(['a', 'b'], ['b', 'c']), {
    kind: 'other-classes',
    ...{ gone: ['a'], added: ['c'] },
  });
  // One name, decomposed and composed.
  assert.deepEqual(headFit(['Ku\u0308he', 'b'], ['K\u00fche', 'b']), { kind: 'by-shape' });
});

for (const source of ['folder', 'file'] as const) {
  test(`${source}: the head of the same classes in another order is put into the new order`, async (context) => {
    const { weights, replaced, trained } = await start(context, source, ['zebra', 'cat', 'dog']);
    assert.deepEqual(replaced, []);
    assert.deepEqual(trained, {
      network: NETWORK.options,
      ...{ classes: TRAINED_CLASSES, normalization: NORMALIZATION },
    });
    assert.deepEqual(weights.get(BIAS), Float32Array.of(3, 1, 2));
    // [in, out]: the rows of the first two inputs
    assert.deepEqual(
      weights.get(WEIGHT)?.subarray(0, 6),
      Float32Array.of(...[3, 1, 2], ...[13, 11, 12]),
    );
  });

  test(`${source}: the head of other classes is drawn anew, and only the head`, async (context) => {
    const { weights, replaced } = await start(context, source, ['cat', 'dog', 'newt']);
    assert.deepEqual(replaced, [WEIGHT, BIAS]);
    for (const spec of parameterSpecs(NETWORK)) {
      const expected =
        spec.layer === headOf(NETWORK)
          ? initialValues(NETWORK, spec, 5)
          : weightOf(trainedWeights(), spec.name);
      assert.deepEqual(weights.get(spec.name), expected, spec.name);
    }
  });

  test(`${source}: the head of the same classes stays as it is`, async (context) => {
    const { weights, replaced } = await start(context, source, TRAINED_CLASSES);
    assert.deepEqual(replaced, []);
    assert.deepEqual(weights.get(BIAS), Float32Array.of(1, 2, 3));
  });
}

test('a file of a training of another architecture is refused', async (context) => {
  const folder = await temporaryFolder(context);
  await writeWeightsFolder(folder, NETWORK, trainedWeights(), {
    classes: TRAINED_CLASSES,
    normalization: NORMALIZATION,
  });
  const resnet = buildNetwork({ ...NETWORK.options, architecture: 'resnet18' });
  const options = { classes: TRAINED_CLASSES, seed: 5, initialization: 'published' } as const;
  await assert.rejects(loadInitialWeights(resnet, join(folder, TORCH_WEIGHTS_FILE), options), {
    code: 'models/other-architecture',
    message: 'the weights are of mobilenet-v2, the network to train is resnet18',
  });
});

test('metadata of other programs say nothing, damaged ones of a training are refused', () => {
  assert.equal(topologyOfMetadata({ format: 'pt', network: '{' }, 'w.safetensors'), null);
  const ours = {
    'drq.network': JSON.stringify(NETWORK.options),
    'drq.classes': '["a"]',
    'drq.mean': '[0,0,0]',
    'drq.std': '[1,1,1]',
  };
  assert.deepEqual(topologyOfMetadata(ours, 'w.safetensors')?.classes, ['a']);
  for (const [changes, message] of [
    [
      { 'drq.classes': '["a"' },
      /^the metadata of w\.safetensors hold "drq\.classes", which is not/,
    ],
    [
      { 'drq.mean': '[0]' },
      /^the metadata of w\.safetensors are not those of a train stage: .*mean/s,
    ],
  ] as const) {
    assert.throws(() => topologyOfMetadata({ ...ours, ...changes }, 'w.safetensors'), {
      code: 'models/malformed-weights',
      message,
    });
  }
});

test("AlexNet's first dense layer is drawn anew at another image size, from a folder as from its file", async (context) => {
  const alexnet = (imageSize: number) =>
    buildNetwork({
      ...NETWORK.options,
      ...{ architecture: 'alexnet', variant: 'paper', imageSize },
    });
  const folder = await temporaryFolder(context);
  const [small, large] = [alexnet(67), alexnet(99)];
  await writeWeightsFolder(folder, small, randomWeights(small, 1), {
    classes: TRAINED_CLASSES,
    normalization: NORMALIZATION,
  });
  const options = { classes: TRAINED_CLASSES, seed: 5, initialization: 'published' } as const;
  const fromFolder = await loadInitialWeights(large, folder, options);
  assert.deepEqual(fromFolder.replaced, ['classifier.1.weight']);
  const fromFile = await loadInitialWeights(large, join(folder, TORCH_WEIGHTS_FILE), options);
  assert.deepEqual(fromFile.replaced, fromFolder.replaced);
  for (const name of ['classifier.1.weight', 'classifier.1.bias', 'classifier.6.weight']) {
    assert.deepEqual(weightOf(fromFolder.weights, name), weightOf(fromFile.weights, name), name);
  }
});
