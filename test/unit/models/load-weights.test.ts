import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { DataError } from '../../../src/diagnostics/errors.ts';
import { exportOnnx } from '../../../src/models/export-onnx.ts';
import { loadWeights, weightsFromTensors } from '../../../src/models/load-weights.ts';
import { parameterSpecs, type NetworkOptions } from '../../../src/models/network.ts';
import type { StoredTensor } from '../../../src/models/safetensors.ts';
import { buildNetwork } from '../../../src/models/zoo.ts';
import { encodeOnnx } from '../../../src/onnx/writer.ts';
import { openOnnxSession } from '../../../src/runtime/onnx-session.ts';
import { packageRoot } from '../../../src/runtime/package-root.ts';
import { relativeDifference } from '../../../src/training/export-checked-onnx.ts';
import { formulaImage, formulaStateDict, NETWORK_OPTIONS } from '../../support/formula-weights.ts';
import { safetensorsBytes } from '../../support/safetensors-fixture.ts';
import { temporaryFolder } from '../../support/stage-context.ts';
import { torchFile } from '../../support/torch-file-fixture.ts';

const SMALL: NetworkOptions = { ...NETWORK_OPTIONS, widthMultiplier: 0.1 };
const SOURCE = { path: 'weights.safetensors', seed: 3 };

test('the head is drawn anew when the class count differs, and only the head', () => {
  const tensors = formulaStateDict(buildNetwork(SMALL));
  const network = buildNetwork({ ...SMALL, classCount: 5 });
  const { replaced, weights, origin } = weightsFromTensors(network, tensors, SOURCE);
  assert.equal(origin, 'torchvision');
  assert.deepEqual(replaced, ['classifier.1.weight', 'classifier.1.bias']);
  assert.equal(weights.get('classifier.1.bias')?.length, 5);
  assert.deepEqual(weights.get('features.0.1.bias'), tensors.get('features.0.1.bias')?.data);
});

test('a backbone without a head starts a network, half a head does not', () => {
  const network = buildNetwork(SMALL);
  const backbone = formulaStateDict(network);
  backbone.delete('classifier.1.weight');
  const bias = backbone.get('classifier.1.bias');
  assert.ok(bias);
  const isMissing = {
    code: 'models/missing-weights',
    message: /has no tensor "classifier\.1\.weight"/,
  };
  assert.throws(() => weightsFromTensors(network, backbone, SOURCE), isMissing);
  backbone.delete('classifier.1.bias');
  const { replaced, weights } = weightsFromTensors(network, backbone, SOURCE);
  assert.deepEqual(replaced, ['classifier.1.weight', 'classifier.1.bias']);
  assert.equal(weights.size, parameterSpecs(network).length);
  // What is left over may be the head under another name.
  const renamed = new Map(backbone).set('classifier.bias', bias);
  assert.throws(() => weightsFromTensors(network, renamed, SOURCE), {
    ...isMissing,
    hint: /a similar name in the file is "classifier\.bias"/,
  });
  const torn = new Map(backbone);
  torn.delete('features.18.0.weight');
  assert.throws(() => weightsFromTensors(network, torn, SOURCE), {
    message: /has no tensor "features\.18\.0\.weight"/,
  });
});

test("torchvision's AlexNet starts the paper's, but for the layers that cannot fit", () => {
  const torchvision: NetworkOptions = {
    ...NETWORK_OPTIONS,
    architecture: 'alexnet',
    imageSize: 224,
  };
  const tensors = emptyTensors(torchvision);
  const network = buildNetwork({ ...torchvision, variant: 'paper', classCount: 5 });
  const { replaced } = weightsFromTensors(network, tensors, SOURCE);
  assert.deepEqual(replaced, ['classifier.1.weight', 'classifier.6.weight', 'classifier.6.bias']);
});

test('weights that a file holds as integers are not told as absent, nor is a head drawn anew for them', async (context) => {
  const network = buildNetwork(SMALL);
  const state = formulaStateDict(network);
  const folder = await temporaryFolder(context);
  const names = (...quantized: string[]) =>
    [...state].map(([name, { shape, data }]) => ({
      ...{ name, shape, quantized: quantized.includes(name), data },
    }));
  const isRefused = async (path: string, message: RegExp): Promise<void> => {
    await assert.rejects(loadWeights(network, path, 0), {
      code: 'models/missing-weights',
      message,
      hint: /quantized weights.*save the state_dict of the model before it was quantized/,
    });
  };
  const safetensors = join(folder, 'weights.safetensors');
  const head = names('classifier.1.weight', 'classifier.1.bias').map(
    ({ name, shape, quantized, data }) => {
      const tensor = quantized
        ? { dtype: 'I8', shape, data: Int8Array.from(data) }
        : { dtype: 'F32', shape, data };
      return [`module.${name}`, tensor] as const;
    },
  );
  await writeFile(safetensors, safetensorsBytes(Object.fromEntries(head)));
  await isRefused(
    safetensors,
    /weights\.safetensors holds "classifier\.1\.weight" as integers, not as floats, and 1 more of the \d+ needed$/,
  );
  const torch = join(folder, 'weights.pth');
  const last = names('features.18.0.weight').map(({ name, shape, quantized, data }) => {
    const tensor = quantized
      ? ({ kind: 'Byte', shape, data: Uint8Array.from(data) } as const)
      : { shape, data };
    return [name, tensor] as const;
  });
  await writeFile(torch, torchFile(Object.fromEntries(last)));
  await isRefused(
    torch,
    /weights\.pth holds "features\.18\.0\.weight" as integers, not as floats$/,
  );
});

function emptyTensors(options: NetworkOptions): Map<string, StoredTensor> {
  return new Map(
    parameterSpecs(buildNetwork(options)).map(({ name, shape }) => {
      const [a = 1, b = 1, c = 1, d = 1] = shape;
      const torch = shape.length === 4 ? [d, c, a, b] : shape.toReversed();
      return [name, { shape: torch, data: new Float32Array(a * b * c * d) }];
    }),
  );
}

test('weights of another width are refused with both shapes', () => {
  const tensors = formulaStateDict(buildNetwork(NETWORK_OPTIONS));
  assert.throws(() => weightsFromTensors(buildNetwork(SMALL), tensors, SOURCE), {
    code: 'models/wrong-shape',
    message: /"features\.0\.0\.weight" has shape \[32, 3, 3, 3\], expected \[8, 3, 3, 3\]/,
  });
});

test('a missing tensor is named, with the nearest name of the file', () => {
  const tensors = formulaStateDict(buildNetwork(SMALL));
  const tensor = tensors.get('features.18.0.weight');
  assert.ok(tensor);
  tensors.delete('features.18.0.weight');
  tensors.set('features.18.0.wieght', tensor);
  assert.throws(() => weightsFromTensors(buildNetwork(SMALL), tensors, SOURCE), {
    code: 'models/missing-weights',
    message: /no tensor "features\.18\.0\.weight"/,
    hint: /similar name in the file is "features\.18\.0\.wieght"/,
  });
});

test('the hint tells an incomplete file from one of fewer layers and one without statistics', () => {
  const hintWithout = (isMissing: (name: string) => boolean): string | undefined => {
    const tensors = formulaStateDict(buildNetwork(SMALL));
    for (const name of [...tensors.keys()]) if (isMissing(name)) tensors.delete(name);
    try {
      weightsFromTensors(buildNetwork(SMALL), tensors, SOURCE);
    } catch (error) {
      assert.ok(error instanceof DataError);
      return error.hint;
    }
    return undefined;
  };
  assert.match(
    hintWithout((name) => name === 'features.18.0.weight') ?? '',
    /^layers in the file are incomplete: save the whole of model\.state_dict/,
  );
  assert.match(
    hintWithout((name) => name.startsWith('features.17.')) ?? '',
    /"architecture".*: the file has fewer layers$/,
  );
  assert.match(
    hintWithout((name) => name.includes('running_')) ?? '',
    /no running statistics of batch norm: save model\.state_dict\(\)/,
  );
});

test('tensors the network does not have are refused', () => {
  const tensors = formulaStateDict(buildNetwork(SMALL));
  tensors.set('extra.weight', { shape: [1], data: Float32Array.of(1) });
  assert.throws(() => weightsFromTensors(buildNetwork(SMALL), tensors, SOURCE), {
    code: 'models/unknown-weights',
    message: /1 tensor\(s\) the network does not: "extra\.weight"/,
  });
});

test('a negative variance is refused with its place, zero is not', () => {
  const name = 'features.0.1.running_var';
  const tensors = formulaStateDict(buildNetwork(SMALL));
  const tensor = tensors.get(name);
  assert.ok(tensor);
  const withValue = (value: number): Map<string, StoredTensor> =>
    new Map(tensors).set(name, { ...tensor, data: tensor.data.with(3, value) });
  assert.throws(() => weightsFromTensors(buildNetwork(SMALL), withValue(-0.5), SOURCE), {
    code: 'models/malformed-weights',
    message:
      'weights.safetensors: "features.0.1.running_var" holds -0.5 at element 3, and no variance is negative',
  });
  weightsFromTensors(buildNetwork(SMALL), withValue(0), SOURCE);
});

test("Keras's names are refused for other networks", () => {
  const tensors = new Map([['Conv1/kernel', { shape: [1], data: Float32Array.of(1) }]]);
  const network = buildNetwork({ ...NETWORK_OPTIONS, architecture: 'resnet50' });
  assert.throws(() => weightsFromTensors(network, tensors, SOURCE), {
    code: 'models/unknown-weights',
  });
});

const sharedModels = join(
  process.env['DRQ_SHARED'] ?? join(packageRoot(), '..', 'shared'),
  'models',
);
const weightsPath = join(sharedModels, 'mobilenet_v2_imagenet.safetensors');
for (const batchNorm of ['none', 'standard'] as const) {
  test(`folded Keras weights, batchNorm ${batchNorm}, give the logits of the published ONNX file`, async (context) => {
    if (!existsSync(weightsPath)) {
      context.skip('no shared models: set DRQ_SHARED');
      return;
    }
    const network = buildNetwork({
      ...NETWORK_OPTIONS,
      ...{ padding: 'same', batchNorm, classCount: 1001, imageSize: 224 },
    });
    const loaded = await loadWeights(network, weightsPath, 0);
    assert.equal(loaded.foldedBatchNorm, batchNorm === 'standard');
    assert.deepEqual(loaded.replaced, []);
    const model = exportOnnx(network, loaded.weights, {
      classes: [],
      normalization: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
    });
    const feeds = { input: { data: formulaImage(224), dims: [1, 3, 224, 224] } };
    const results: ArrayLike<number | bigint>[] = [];
    for (const file of [encodeOnnx(model), join(sharedModels, 'mobilenet_v2_imagenet.onnx')]) {
      const session = await openOnnxSession(file, { threadCount: 1 });
      results.push((await session.run(feeds))['logits']?.data ?? []);
      await session.release();
    }
    const [ours = [], published = []] = results;
    assert.equal(published.length, 1001);
    // Identity batch norm divides by sqrt(1 + epsilon): 5e-6 a layer before it is rebuilt.
    const difference = relativeDifference(Array.from(published, Number), ours);
    assert.ok(difference < 1e-3, String(difference));
  });
}
