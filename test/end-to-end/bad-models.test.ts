import assert from 'node:assert/strict';
import { mkdir, rm } from 'node:fs/promises';
import { test } from 'node:test';
import type { OnnxModel } from '../../src/onnx/model.ts';
import { graphOf } from '../../src/onnx/model.ts';
import { decodeOnnx } from '../../src/onnx/reader.ts';
import { encodeOnnx } from '../../src/onnx/writer.ts';
import { assertSays, checkAll, ingestPipeline, writeDataset } from '../support/bad-input.ts';
import { createRig } from '../support/rig.ts';
import { safetensorsBytes } from '../support/safetensors-fixture.ts';
import { tensorflowOrSkip } from '../support/tensorflow.ts';
import { tinyClassifier } from '../support/tiny-classifier.ts';
import { pickle, torchZip } from '../support/torch-file-fixture.ts';

const SOUND = tinyClassifier({
  size: 32,
  weights: [
    [1, -1],
    [0, 1],
    [1, 0],
  ],
  bias: [0, 0],
});

function edited(edit: (model: OnnxModel) => void): Uint8Array {
  const model = decodeOnnx(SOUND, 'the fixture');
  edit(model);
  return encodeOnnx(model);
}

const unknownOperator = edited((model) => {
  graphOf(model).node[1]!.opType = 'Flutter'; // pool, flatten, dense
});
const withNan = edited((model) => {
  const tensor = graphOf(model).initializer[0]!; // weights, bias
  tensor.floatData = [];
  tensor.rawData = new Uint8Array(Float32Array.of(1, NaN, 1, 1, 1, 1).buffer);
});
const shortWeights = edited((model) => {
  const tensor = graphOf(model).initializer[0]!; // weights, bias
  tensor.floatData = [];
  tensor.rawData = new Uint8Array(8);
});

/** File → content and what is said of it; all are imported in one run, which goes on after each. */
const IMPORTS: Readonly<Record<string, readonly [Uint8Array, string]>> = {
  text: [
    Buffer.from('hello, this is text\n'),
    `is not a complete ONNX model: cant skip wire type 4 (onnx/malformed)
  hint: export or download the file again; it may have been cut off`,
  ],
  truncated: [
    SOUND.subarray(0, SOUND.length - 20),
    `is not a complete ONNX model: premature EOF (onnx/malformed)
  hint: export or download the file again; it may have been cut off`,
  ],
  'future-opset': [
    edited((model) => {
      model.opsetImport[0]!.version = 99n; // the fixture names one
    }),
    `uses opset 99, expected 7 to 22 (onnx/unsupported-opset)
  hint: export the model again with opset 17`,
  ],
  'unknown-operator': [
    unknownOperator,
    `: node "flatten" has the operator Flutter, which onnxruntime does not have in opset 17 (onnx/unsupported-operator)
  hint: export the model with standard ONNX operators of its opset`,
  ],
  nan: [
    withNan,
    `tensor "weights" [3, 2] of FILE holds NaN or infinity at index 1 (onnx/bad-tensor)
  hint: export the model again; the file may be damaged`,
  ],
  'short-weights': [
    shortWeights,
    `tensor "weights" [3, 2] holds 8 bytes, expected 24 (onnx/bad-tensor)
  hint: export the model again; the file may be damaged`,
  ],
};

test('bad ONNX files, imported: one message each, and all is well after mending', async (context) => {
  const rig = await createRig(context);
  const names = Object.keys(IMPORTS);
  const stages = names.map(
    (name) => `  ${name}: { kind: import, inputs: { model: { path: ${name}.onnx } } }\n`,
  );
  await rig.write('p.yaml', `name: p\nstages:\n${stages.join('')}`);
  for (const [name, [bytes]] of Object.entries(IMPORTS)) await rig.write(`${name}.onnx`, bytes);
  const refused = await rig.drq('run', 'p.yaml', '--keep-going');
  assert.equal(refused.exitCode, 1);
  const failures = refused.stderr.split(/^failed {6}/m).slice(1);
  assert.equal(failures.length, names.length, refused.stderr);
  for (const failure of failures) {
    const name = failure.slice(0, failure.indexOf(' '));
    const file = rig.path(`${name}.onnx`);
    const said = IMPORTS[name]?.[1] ?? '';
    const message = said.startsWith('tensor')
      ? said.replace('FILE', file)
      : `${file}${said.startsWith(':') ? '' : ' '}${said}`;
    const [shown = ''] = failure.split('\n  log: ');
    assert.equal(shown, `${name}  ${message}`);
  }
  for (const name of names) await rig.write(`${name}.onnx`, SOUND);
  const mended = await rig.drq('run', 'p.yaml');
  assert.equal(mended.exitCode, 0, mended.stderr);
});

const COMMAND = 'quantize m.onnx --data data/train --output o.onnx --preset unit --count 2'.split(
  ' ',
);

checkAll('bad ONNX files, quantized by the command', [
  {
    name: 'an unknown operator, found before photographs are decoded',
    spoil: async (rig) => {
      await writeDataset(rig);
      await rig.write('m.onnx', unknownOperator);
    },
    command: COMMAND,
    says: `error onnx/unsupported-operator: m.onnx: node "flatten" has the operator Flutter, which onnxruntime does not have in opset 17
hint: export the model with standard ONNX operators of its opset`,
    mend: (rig) => rig.write('m.onnx', SOUND),
  },
  {
    name: 'a folder in place of the output',
    spoil: async (rig) => {
      await rig.write('m.onnx', SOUND);
      await mkdir(rig.path('o.onnx'));
    },
    command: COMMAND,
    exitCode: 2,
    says: `error quantize/folder-given: the output o.onnx is a folder
hint: give the path of a file, such as o.onnx/model.int8.onnx`,
  },
]);

const TRAIN = `  augment:
    kind: augment
    inputs: { dataset: ingest.dataset }
    parameters: { sizePx: 32 }
  train:
    kind: train
    inputs: { images: augment.images, weights: { path: w.safetensors } }
    parameters: { architecture: mobilenet-v2, widthMultiplier: 0.1, epochs: 1, batchSize: 4 }
`;

test('bad initial weights', async (context) => {
  if ((await tensorflowOrSkip(context)) === null) return;
  const rig = await createRig(context);
  await writeDataset(rig);
  await rig.write('p.yaml', `${ingestPipeline()}${TRAIN}`);
  const tensor = (shape: readonly number[], ...values: number[]) =>
    safetensorsBytes({
      'features.0.0.weight': { dtype: 'F32', shape, data: Float32Array.from(values) },
    });
  const damaged = 'ROOT/w.safetensors is not a complete safetensors file of finite weights:';
  const damagedHint =
    'hint: download or export the file again; safetensors with F64, F32, F16 or BF16 tensors are read';
  for (const [bytes, message] of [
    [
      tensor([2], 1, 2).subarray(0, -3),
      `${damaged} it ends inside "features.0.0.weight" (85 of 88 bytes) (models/malformed-weights)\n  ${damagedHint}`,
    ],
    [
      tensor([2], 1, NaN),
      `${damaged} "features.0.0.weight" holds NaN at element 1 (models/malformed-weights)\n  ${damagedHint}`,
    ],
    [
      tensor([2], 1, 2),
      `ROOT/w.safetensors: "features.0.0.weight" has shape [2], expected [8, 3, 3, 3] for features.0.0.weight (models/wrong-shape)
  hint: the weights must come from the same architecture and width; only the layers that depend on the class count may differ`,
    ],
    [
      safetensorsBytes({ x: { dtype: 'F32', shape: [1], data: Float32Array.of(1) } }),
      `ROOT/w.safetensors has no tensor "features.0.0.weight" of shape [8, 3, 3, 3], which the network needs, nor 261 more of the 262 needed (models/missing-weights)
  hint: check "architecture", "widthMultiplier" and "batchNorm"; a similar name in the file is "x"`,
    ],
    [
      torchZip(pickle.call(pickle.global('posix', 'system'), pickle.text('exit 1'))),
      `ROOT/w.safetensors holds more than tensors: the global "posix.system". No code of such a file is run, so it is not read (models/unsafe-pickle)
  hint: save the weights alone, torch.save(model.state_dict(), path), or as safetensors`,
    ],
  ] as const) {
    await rig.write('w.safetensors', bytes);
    const refused = await rig.drq('run', 'p.yaml');
    assertSays(rig, refused, `failed      train  ${message}`);
  }
  await rm(rig.path('w.safetensors'));
  await rig.write('p.yaml', `${ingestPipeline()}${TRAIN.replace(/, weights: \{.*?\}/, '')}`);
  const { exitCode, stderr } = await rig.drq('run', 'p.yaml');
  assert.equal(exitCode, 0, stderr);
});
