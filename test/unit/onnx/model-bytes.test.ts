import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { decodeOnnx, encodeOnnx, readOnnx } from '../../../src/index.ts';
import type { OnnxModel } from '../../../src/onnx/model.ts';
import { writeOnnx, writeOnnxWithData } from '../../../src/onnx/writer.ts';
import { temporaryFolder } from '../../support/stage-context.ts';
import { tinyConvnet } from '../../support/tiny-convnet.ts';

test('bytes are a way in and out, the same as files', async (t) => {
  const path = join(await temporaryFolder(t), 'model.onnx');
  await writeOnnx(path, tinyConvnet());
  const bytes = await readFile(path);
  assert.ok(bytes.equals(encodeOnnx(tinyConvnet())));
  const model = decodeOnnx(new Uint8Array(bytes));
  assert.deepEqual(encodeOnnx(model), encodeOnnx(await readOnnx(path)));
});

test('data in other files is refused, which bytes do not lead to', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'model.onnx');
  await writeOnnxWithData(path, join(folder, 'weights.data'), tinyConvnet());
  const bytes = await readFile(path);
  assert.throws(() => decodeOnnx(bytes, 'upload.onnx'), {
    name: 'OnnxError',
    code: 'onnx/external-data',
    message: /^upload\.onnx: the data of tensor "w\d" lies in another file, "weights\.data", which/,
    hint: /readOnnx/,
  });
});

test('what are no bytes of a model, or no model, is told', () => {
  const noBytes = (given: unknown, hint: RegExp): void =>
    assert.throws(() => decodeOnnx(given as Uint8Array), {
      name: 'UsageError',
      code: 'onnx/decode-arguments',
      hint,
    });
  noBytes('model.onnx', /^readOnnx takes the path/);
  noBytes(new ArrayBuffer(8), /new Uint8Array\(/);
  noBytes(undefined, /new Uint8Array\(/);
  const cut = encodeOnnx(tinyConvnet()).slice(0, 40);
  assert.throws(() => decodeOnnx(cut), {
    code: 'onnx/malformed',
    message: /^the ONNX model is not a complete ONNX model: /,
  });
  assert.throws(() => encodeOnnx('model.onnx' as unknown as OnnxModel), {
    name: 'UsageError',
    code: 'onnx/encode-arguments',
  });
});
