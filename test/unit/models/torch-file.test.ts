import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { loadInitialWeights } from '../../../src/models/initial-weights.ts';
import { parameterSpecs } from '../../../src/models/network.ts';
import { readTorchFile } from '../../../src/models/torch-file.ts';
import { readWeightsFile } from '../../../src/models/read-weights-file.ts';
import { buildNetwork } from '../../../src/models/zoo.ts';
import { formulaStateDict, NETWORK_OPTIONS } from '../../support/formula-weights.ts';
import { makeZip } from '../../support/picture-fixtures.ts';
import { temporaryFolder } from '../../support/stage-context.ts';
import {
  pickle,
  tensorPickle,
  torchFile,
  torchZip,
  type TensorFixture,
} from '../../support/torch-file-fixture.ts';

async function fileOf(context: TestContext, bytes: Uint8Array): Promise<string> {
  const path = join(await temporaryFolder(context), 'weights.pth');
  await writeFile(path, bytes);
  return path;
}

const SIX = Float32Array.of(1, 2, 3, 4, 5, 6);
const GOOD = torchFile({
  'a.weight': { data: SIX, shape: [2, 3], isParameter: true },
  // binary16 of 1, -2, 65504 (the largest) and 2^-24 (the smallest)
  half: { kind: 'Half', data: Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0001), shape: [4] },
  // bfloat16 of 1 and -3.140625: the upper halves of their float32
  brain: { kind: 'BFloat16', data: Uint16Array.of(0x3f80, 0xc049), shape: [2, 1] },
  double: { kind: 'Double', data: Float64Array.of(0.1), shape: [] },
  num_batches_tracked: { kind: 'Long', data: BigInt64Array.of(7n), shape: [] },
});

test('floats of four widths are read as float32, counters are left out', async (context) => {
  const { tensors } = await readTorchFile(await fileOf(context, GOOD));
  assert.deepEqual([...tensors.keys()], ['a.weight', 'half', 'brain', 'double']);
  assert.deepEqual(tensors.get('a.weight'), { shape: [2, 3], data: SIX });
  assert.deepEqual(tensors.get('half')?.data, Float32Array.of(1, -2, 65504, 2 ** -24));
  assert.deepEqual(tensors.get('brain'), { shape: [2, 1], data: Float32Array.of(1, -3.140625) });
  assert.deepEqual(tensors.get('double'), { shape: [], data: Float32Array.of(0.1) });
});

test('integers of any width, sizes, counts and long numbers beside the weights do no harm', async (context) => {
  const counts = pickle.call(pickle.global('collections', 'Counter'), pickle.dict([]));
  const size = pickle.call(pickle.global('torch', 'Size'), pickle.tuple(pickle.integer(3)));
  const seed = Buffer.from([0x8a, 9, ...new Array<number>(8).fill(0xff), 0]); // LONG1 of 2^64 - 1
  const state = pickle.dict([
    ['a', tensorPickle({ data: SIX, shape: [6] }, '0')],
    ['rng_state', tensorPickle({ kind: 'Byte', data: Uint8Array.of(1, 2), shape: [2] }, '1')],
    ['is_trained', tensorPickle({ kind: 'Bool', data: Uint8Array.of(1), shape: [1] }, '2')],
    ['step', tensorPickle({ kind: 'Int', data: Int32Array.of(7), shape: [] }, '3')],
    ['milestones', counts],
    ['shape', size],
    ['seed', seed],
  ]);
  const storages = [SIX, Uint8Array.of(1, 2), Uint8Array.of(1), Int32Array.of(7)];
  const { tensors } = await readTorchFile(await fileOf(context, torchZip(state, storages)));
  assert.deepEqual([...tensors], [['a', { shape: [6], data: SIX }]]);
});

test('strides and offsets are followed', async (context) => {
  const path = await fileOf(
    context,
    torchFile({
      transposed: { data: SIX, shape: [3, 2], strides: [1, 3] },
      column: { data: SIX, shape: [2, 1], strides: [3, 1], offset: 1 },
      tail: { data: SIX, shape: [2], offset: 4 },
      // Channels last: [N, C, H, W] of 1 x 2 x 1 x 3 with C innermost.
      channelsLast: { data: SIX, shape: [1, 2, 1, 3], strides: [6, 1, 6, 2] },
    }),
  );
  const { tensors } = await readTorchFile(path);
  assert.deepEqual(tensors.get('transposed')?.data, Float32Array.of(1, 4, 2, 5, 3, 6));
  assert.deepEqual(tensors.get('column')?.data, Float32Array.of(2, 5));
  assert.deepEqual(tensors.get('tail')?.data, Float32Array.of(5, 6));
  assert.deepEqual(tensors.get('channelsLast')?.data, Float32Array.of(1, 3, 5, 2, 4, 6));
});

test('memo, long numbers and single items are read as Python writes them', async (context) => {
  // {'a': …} by SETITEM, the shape by TUPLE1 from the memo, the offset 0 as LONG1 of no bytes.
  const tensor = tensorPickle({ data: SIX, shape: [6] }, '0');
  const offset = tensor.indexOf(Buffer.from('QK\x00', 'latin1'));
  const shape = Buffer.concat([pickle.tuple(pickle.integer(6))]);
  const at = tensor.indexOf(shape);
  const rewritten = Buffer.concat([
    tensor.subarray(0, offset + 1),
    Buffer.from([0x8a, 0]),
    tensor.subarray(offset + 3, at),
    // K 6, TUPLE1, BINPUT 9; the strides again by hand.
    Buffer.from([0x4b, 6, 0x85, 0x71, 9]),
    tensor.subarray(at + shape.length),
  ]);
  const root = Buffer.concat([Buffer.from('}'), pickle.text('a'), rewritten, Buffer.from('s')]);
  const { tensors } = await readTorchFile(await fileOf(context, torchZip(root, [SIX])));
  assert.deepEqual(tensors.get('a'), { shape: [6], data: SIX });
});

for (const key of ['state_dict', 'model_state_dict', 'model', 'model_ema', 'state_dict_ema']) {
  test(`the state_dict of a checkpoint's "${key}" is found, without "module."`, async (context) => {
    const state = pickle.dict(
      [
        ['module.a', tensorPickle({ data: SIX, shape: [6] }, '0')],
        ['module.b', tensorPickle({ data: SIX, shape: [6] }, '0')],
      ],
      true,
    );
    const root = pickle.dict([
      ['epoch', pickle.integer(300)],
      [key, state],
      ['best', Buffer.from('G3\x33\x33\x33\x33\x33\x33\x33', 'latin1')],
    ]);
    const { tensors } = await readTorchFile(await fileOf(context, torchZip(root, [SIX])));
    assert.deepEqual([...tensors.keys()], ['a', 'b']);
    assert.deepEqual(tensors.get('b')?.data, SIX);
  });
}

test("PyTorch's average of a model is read, without its count", async (context) => {
  // As torch.optim.swa_utils.AveragedModel(model).state_dict() has it.
  const counter = { kind: 'Long', data: BigInt64Array.of(7n), shape: [] } as const;
  const bytes = torchFile({
    n_averaged: counter,
    'module.a.weight': { data: SIX, shape: [2, 3] },
    'module.a.num_batches_tracked': counter,
  });
  const { tensors } = await readTorchFile(await fileOf(context, bytes));
  assert.deepEqual([...tensors], [['a.weight', { shape: [2, 3], data: SIX }]]);
});

test("a checkpoint's own weights come before their average", async (context) => {
  const state = (name: string): Buffer =>
    pickle.dict([[name, tensorPickle({ data: SIX, shape: [6] }, '0')]]);
  const root = pickle.dict([
    ['model_ema', state('average')],
    ['model', state('last')],
  ]);
  const { tensors } = await readTorchFile(await fileOf(context, torchZip(root, [SIX])));
  assert.deepEqual([...tensors.keys()], ['last']);
});

test('a pickle of protocol 4 is read: short texts, frames, numbered memos, globals by texts', async (context) => {
  const short = (text: string): Buffer =>
    Buffer.concat([Buffer.from([0x8c, text.length]), Buffer.from(text), Buffer.from([0x94])]);
  const global = (module: string, name: string): Buffer =>
    Buffer.concat([short(module), short(name), Buffer.from([0x93, 0x94])]);
  // As pickletools.dis shows torch.save({'_orig_mod.module.a': …}, path, pickle_protocol=4).
  const root = Buffer.concat([
    ...[Buffer.from([0x80, 4, 0x95, 9, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('}\x94(', 'latin1')],
    ...[short('_orig_mod.module.a'), global('torch._utils', '_rebuild_tensor_v2')],
    ...[Buffer.from('((', 'latin1'), short('storage'), global('torch', 'FloatStorage')],
    ...[short('0'), short('cpu'), Buffer.from('K\x06t\x94Q', 'latin1')],
    ...[Buffer.from('K\x00K\x06\x85\x94K\x01\x85\x94\x89', 'latin1')],
    // BINGET 7: the storage's class, the eighth that was memoized; dropped as the hooks would be.
    ...[Buffer.from('h\x07t\x94R\x94u', 'latin1')],
  ]);
  const { tensors } = await readTorchFile(await fileOf(context, torchZip(root, [SIX])));
  assert.deepEqual([...tensors], [['a', { shape: [6], data: SIX }]]);
  const newer = Buffer.from([0x80, 6]);
  await assert.rejects(readTorchFile(await fileOf(context, torchZip(newer))), {
    code: 'models/malformed-weights',
    message: /its pickle is of protocol 6, and 2 to 5 are read$/,
  });
});

test('what is no weights file at all is not taken for damaged safetensors', async (context) => {
  await assert.rejects(readWeightsFile(await fileOf(context, Buffer.alloc(0))), {
    code: 'models/malformed-weights',
    message: /weights\.pth is empty$/,
  });
  await assert.rejects(readWeightsFile(await fileOf(context, Buffer.alloc(100, 7))), {
    code: 'models/malformed-weights',
    message: /weights\.pth is no file of PyTorch 1\.6 or later, which is a zip, nor safetensors$/,
  });
});

const SAVE_ALONE = /save the weights alone, torch\.save\(model\.state_dict\(\), path\)/;
for (const [what, root, pattern] of [
  [
    'a call of os.system',
    (target: string) =>
      pickle.call(pickle.global('posix', 'system'), pickle.text(`touch '${target}'`)),
    /holds more than tensors: the global "posix\.system"\. No code of such a file is run/,
  ],
  [
    'a call hidden beside tensors',
    (target: string) =>
      pickle.dict([
        ['a', tensorPickle({ data: SIX, shape: [6] }, '0')],
        [
          'args',
          pickle.call(pickle.global('builtins', 'exec'), pickle.text(`open('${target}','w')`)),
        ],
      ]),
    /the global "builtins\.exec"/,
  ],
  [
    'a whole model',
    () =>
      Buffer.concat([
        pickle.global('torchvision.models.resnet', 'ResNet'),
        pickle.emptyTuple,
        Buffer.from([0x81]), // NEWOBJ
      ]),
    /the global "torchvision\.models\.resnet\.ResNet"/,
  ],
  [
    'an object by INST of protocol 0',
    () => Buffer.from('(X\x02\x00\x00\x00lsios\nsystem\n', 'latin1'),
    /opcode 0x69 at byte 10 of the pickle/,
  ],
  [
    'a global of protocol 4',
    () => Buffer.from('\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93', 'latin1'),
    /the global "posix\.system"/,
  ],
  [
    'a text called as a function',
    () => pickle.call(pickle.text('torch._utils._rebuild_parameter'), pickle.none),
    /a call of what is no function/,
  ],
  [
    'storages of other numbers',
    () => tensorPickle({ kind: 'ComplexFloat', data: SIX, shape: [3] }, '0'),
    /the global "torch\.ComplexFloatStorage"/,
  ],
] as const) {
  test(`${what} is refused by name, and nothing is run`, async (context) => {
    const target = join(await temporaryFolder(context), 'executed');
    const path = await fileOf(context, torchZip(root(target), [SIX]));
    await assert.rejects(readTorchFile(path), {
      code: 'models/unsafe-pickle',
      message: pattern,
      hint: SAVE_ALONE,
    });
    assert.ok(!existsSync(target));
  });
}

function one(fixture: Partial<TensorFixture>): Buffer {
  return torchFile({ a: { data: SIX, shape: [6], ...fixture } });
}
const stateOfOne = pickle.dict([['a', tensorPickle({ data: SIX, shape: [6] }, '0')]]);
const compressed = Buffer.from(GOOD);
compressed.writeUInt16LE(8, compressed.indexOf('504b0102', 0, 'hex') + 10);

for (const [what, bytes, pattern] of [
  ['a zip cut in its middle', GOOD.subarray(0, 500), /End of central directory record/i],
  ['a zip cut before its end', GOOD.subarray(0, GOOD.length - 4), /End of central directory/i],
  [
    'a zip without pickle',
    makeZip([{ name: 'photo.png', content: Buffer.alloc(1) }]),
    /a zip with 0 files named data\.pkl/,
  ],
  ['a compressed pickle', compressed, /data\.pkl in it is compressed/],
  ['a missing storage', torchZip(stateOfOne), /it holds no data\/0/],
  [
    'a storage cut short',
    torchZip(stateOfOne, [SIX.subarray(0, 5)]),
    /"a" should have 24 bytes, it has 20/,
  ],
  [
    'a storage longer than told',
    torchZip(stateOfOne, [new Float32Array(7)]),
    /data\/0 in it has 28 bytes, not 24/,
  ],
  [
    'a shape beyond its storage',
    one({ shape: [7] }),
    /"a" of shape \[7\] and strides \[1\] does not/,
  ],
  ['an offset beyond its storage', one({ offset: 1 }), /does not fit into its 6 stored elements/],
  ['a negative size', one({ shape: [-6], strides: [1] }), /describes a tensor wrongly/],
  ['other strides than sizes', one({ strides: [1, 1] }), /describes a tensor wrongly/],
  [
    'a NaN',
    torchFile({ 'layer.weight': { data: Float32Array.of(1, NaN), shape: [2] } }),
    /"layer\.weight" holds NaN at element 1/,
  ],
  ['a list', torchZip(Buffer.from(']')), /holds no dict of tensors/],
  ['a dict without tensors', torchZip(pickle.dict([['a', pickle.none]])), /no tensors by name/],
  ['an empty pickle', torchZip(Buffer.alloc(0)), /its pickle lacks a value/],
  [
    'a pickle that ends early',
    makeZip([{ name: 'x/data.pkl', content: Buffer.from([0x80, 2, 0x58, 255, 0, 0, 0, 65]) }]),
    /its pickle ends early/,
  ],
  ['a mark too few', torchZip(Buffer.from('t')), /its pickle lacks a mark/],
  ['an object that was never kept', torchZip(Buffer.from([0x68, 3])), /it has no object 3/],
  [
    'big-endian numbers',
    makeZip([
      { name: 'x/data.pkl', content: Buffer.from('N.') },
      { name: 'x/byteorder', content: Buffer.from('big') },
    ]),
    /byte order is "big", not little/,
  ],
] as const) {
  test(`${what} is refused with the place`, async (context) => {
    const path = await fileOf(context, bytes);
    await assert.rejects(readTorchFile(path), {
      code: 'models/malformed-weights',
      message: pattern,
      hint: /torch\.save\(model\.state_dict\(\), path\)/,
    });
  });
}

test('a view that repeats elements, as an expanded tensor, is refused with the way out', async (context) => {
  await assert.rejects(
    readTorchFile(await fileOf(context, one({ shape: [9, 6], strides: [0, 1] }))),
    {
      code: 'models/malformed-weights',
      message:
        /weights\.pth: "a" of shape \[9, 6\] and strides \[0, 1\] repeats its 6 stored elements/,
      hint: /call \.contiguous\(\) on it before saving/,
    },
  );
});

/** A file with one storage of 4000 bytes and `count` names for all of it. */
function shared(count: number): Buffer {
  const data = new Float32Array(1000).fill(0.5);
  const names = Array.from({ length: count }, (_, i) => `layer${i}.weight`);
  const tensor = tensorPickle({ data, shape: [10, 100] }, '0');
  return torchZip(pickle.dict(names.map((name) => [name, tensor])), [data]);
}

test('tied weights are read under each of their names, copies without end are refused', async (context) => {
  const { tensors } = await readTorchFile(await fileOf(context, shared(3)));
  assert.deepEqual([...tensors.keys()], ['layer0.weight', 'layer1.weight', 'layer2.weight']);
  assert.deepEqual(tensors.get('layer0.weight'), tensors.get('layer2.weight'));
  await assert.rejects(readTorchFile(await fileOf(context, shared(60))), {
    code: 'models/malformed-weights',
    message:
      /its 60 tensors take 240000 bytes and the file has \d+, so most of them repeat the same numbers/,
  });
});

test('the format before PyTorch 1.6 is refused with the way out', async (context) => {
  const path = await fileOf(context, Buffer.from('80028a0a6cfc9c46f920', 'hex'));
  await assert.rejects(readWeightsFile(path), {
    code: 'models/malformed-weights',
    message: /the format before 1\.6/,
    hint: /torch\.save\(torch\.load\(path, weights_only=True\), path\)/,
  });
});

test('a network starts from a PyTorch file as from safetensors', async (context) => {
  const network = buildNetwork({ ...NETWORK_OPTIONS, widthMultiplier: 0.1 });
  const state = formulaStateDict(network);
  const counter = { kind: 'Long', data: BigInt64Array.of(5n), shape: [] } as const;
  // As `{ name: value.half() }` over a state_dict makes of it.
  const cast = { kind: 'Half', data: Uint16Array.of(0x4500), shape: [] } as const;
  const path = await fileOf(
    context,
    torchFile({
      ...Object.fromEntries(state),
      'features.0.1.num_batches_tracked': counter,
      'features.18.1.num_batches_tracked': cast,
    }),
  );
  const initial = await loadInitialWeights(network, path, {
    classes: [],
    ...{ seed: 0, initialization: 'published' },
  });
  assert.equal(initial.description, 'pretrained weights (torchvision names)');
  assert.deepEqual(initial.replaced, []);
  assert.deepEqual(
    [...initial.weights.keys()],
    parameterSpecs(network).map(({ name }) => name),
  );
  assert.deepEqual(initial.weights.get('features.0.1.bias'), state.get('features.0.1.bias')?.data);
  // [out, in, kh, kw] = [8, 3, 3, 3] → [kh, kw, in, out]: the second number is that of output 1.
  assert.equal(
    initial.weights.get('features.0.0.weight')?.[1],
    state.get('features.0.0.weight')?.data[27],
  );
});
