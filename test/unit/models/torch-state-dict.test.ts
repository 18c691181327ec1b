import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { readTorchFile } from '../../../src/models/torch-file.ts';
import { temporaryFolder } from '../../support/stage-context.ts';
import { pickle, tensorPickle, torchZip } from '../../support/torch-file-fixture.ts';

const SIX = Float32Array.of(1, 2, 3, 4, 5, 6);
const TENSOR = tensorPickle({ data: SIX, shape: [6] }, '0');
const SCALAR = tensorPickle({ data: SIX, shape: [] }, '0');

async function fileOf(context: TestContext, root: Buffer): Promise<string> {
  const path = join(await temporaryFolder(context), 'weights.pth');
  await writeFile(path, torchZip(root, [SIX]));
  return path;
}

function dictOf(...names: string[]): Buffer {
  return pickle.dict(names.map((name) => [name, TENSOR]));
}

for (const [what, entries, expected] of [
  [
    'under any key',
    [
      ['net', dictOf('module.a', 'module.b')],
      ['acc', pickle.integer(1)],
    ],
    ['a', 'b'],
  ],
  [
    'beside a loss and an optimizer',
    [
      ['loss', SCALAR],
      ['optimizer', pickle.dict([['state', dictOf('x', 'y')]])],
      ['schedule', pickle.dict([['rate', SCALAR]])],
      ['weights', dictOf('a')],
    ],
    ['a'],
  ],
  [
    'under a known key before all others',
    [
      ['ema', dictOf('a', 'b')],
      ['model', dictOf('c')],
    ],
    ['c'],
  ],
  [
    'beside a known key that holds no tensors',
    [
      ['model', pickle.dict([['depth', pickle.integer(18)]])],
      ['net', dictOf('a')],
    ],
    ['a'],
  ],
  [
    'at the root with a smaller dict beside them',
    [
      ['a', TENSOR],
      ['b', TENSOR],
      ['extra', dictOf('c', 'd')],
    ],
    ['a', 'b'],
  ],
] as const) {
  test(`tensors are found ${what}`, async (context) => {
    const { tensors } = await readTorchFile(await fileOf(context, pickle.dict(entries)));
    assert.deepEqual([...tensors.keys()], expected);
  });
}

test('of several dicts of tensors none is guessed', async (context) => {
  const root = pickle.dict([
    ['generator', dictOf('a')],
    ['discriminator', dictOf('b')],
  ]);
  await assert.rejects(readTorchFile(await fileOf(context, root)), {
    code: 'models/malformed-weights',
    message:
      /weights\.pth is no state_dict: it holds tensors under "generator", "discriminator", and under none of "state_dict", "model_state_dict", "model", "model_ema", "state_dict_ema"$/,
    hint: 'save the one to use alone: torch.save(torch.load(path, weights_only=True)["generator"], other_path)',
  });
});

test('a whole file without weights is not called damaged', async (context) => {
  const root = pickle.dict([['epoch', pickle.integer(3)]]);
  await assert.rejects(readTorchFile(await fileOf(context, root)), {
    code: 'models/malformed-weights',
    message: /weights\.pth is no state_dict: it holds no tensors by name, as a state_dict does$/,
    hint: 'save the weights alone: torch.save(model.state_dict(), path)',
  });
});
