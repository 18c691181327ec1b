import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadWeights, weightsFromTensors } from '../../../src/models/load-weights.ts';
import { readSafetensors } from '../../../src/models/safetensors.ts';
import { torchStateDict } from '../../../src/models/torch-weights.ts';
import { TORCH_WEIGHTS_FILE, writeWeightsFolder } from '../../../src/models/weights-folder.ts';
import { randomWeights } from '../../../src/models/weights.ts';
import { writeSafetensors } from '../../../src/models/write-safetensors.ts';
import { buildNetwork } from '../../../src/models/zoo.ts';
import { formulaStateDict, NETWORK_OPTIONS } from '../../support/formula-weights.ts';
import { temporaryFolder } from '../../support/stage-context.ts';

test('the file is laid out as the format asks, wide tensors first', async (context) => {
  const path = join(await temporaryFolder(context), 'w.safetensors');
  await writeSafetensors(
    path,
    [
      { name: 'a', dtype: 'F32', shape: [3], data: () => Float32Array.of(1, 2, 3) },
      { name: 'n', dtype: 'I64', shape: [], data: () => BigInt64Array.of(7n) },
    ],
    { format: 'pt' },
  );
  const bytes = await readFile(path);
  const headerLength = Number(bytes.readBigUInt64LE());
  assert.equal(headerLength % 8, 0);
  assert.deepEqual(JSON.parse(bytes.toString('utf8', 8, 8 + headerLength)), {
    __metadata__: { format: 'pt' },
    n: { dtype: 'I64', shape: [], data_offsets: [0, 8] },
    a: { dtype: 'F32', shape: [3], data_offsets: [8, 20] },
  });
  assert.equal(bytes.length, 8 + headerLength + 20);
  assert.equal(bytes.readBigInt64LE(8 + headerLength), 7n);
  assert.equal(bytes.readFloatLE(8 + headerLength + 8), 1);
});

for (const architecture of ['mobilenet-v2', 'resnet18', 'resnet50'] as const) {
  test(`${architecture}: what is written is the state_dict that was loaded, and counters`, () => {
    const network = buildNetwork({ ...NETWORK_OPTIONS, architecture });
    const state = formulaStateDict(network);
    const { weights } = weightsFromTensors(network, state, { path: 'formula', seed: 0 });
    const written = torchStateDict(network, weights);
    const floats = written.filter(({ dtype }) => dtype === 'F32');
    assert.deepEqual(
      floats.map(({ name }) => name),
      [...state.keys()],
    );
    for (const { name, shape, data } of floats) {
      assert.deepEqual({ shape, data: data() }, state.get(name));
    }
    const counters = written.filter(({ dtype }) => dtype === 'I64').map(({ name }) => name);
    const expected = [...state.keys()]
      .filter((name) => name.endsWith('running_mean'))
      .map((name) => name.replace('running_mean', 'num_batches_tracked'));
    assert.deepEqual(counters, expected);
  });
}

test("a weights folder holds the paper's AlexNet for PyTorch, flattened as there", async (context) => {
  const network = buildNetwork({
    ...NETWORK_OPTIONS,
    ...{ architecture: 'alexnet', variant: 'paper', imageSize: 99 },
  });
  const folder = await temporaryFolder(context);
  const weights = randomWeights(network, 1);
  await writeWeightsFolder(folder, network, weights, {
    classes: ['a', 'b'],
    normalization: { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] },
  });
  const path = join(folder, TORCH_WEIGHTS_FILE);
  const { metadata, tensors } = await readSafetensors(path);
  assert.equal(metadata['format'], 'pt');
  assert.equal(metadata['drq.classes'], '["a","b"]');
  assert.equal(metadata['drq.std'], '[0.25,0.25,0.25]');
  // 99 px leave [H, W, C] = [2, 2, 256]: row (h 0, w 1, c 0), the 257th, is column 1 of [out, C * H * W].
  assert.deepEqual(tensors.get('classifier.1.weight')?.shape, [4096, 1024]);
  assert.equal(
    tensors.get('classifier.1.weight')?.data[1],
    weights.get('classifier.1.weight')?.[256 * 4096],
  );
  const loaded = await loadWeights(network, path, 0);
  assert.deepEqual(loaded.replaced, []);
  assert.deepEqual(loaded.weights, weights);
});
