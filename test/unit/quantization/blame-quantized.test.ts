import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OnnxError } from '../../../src/diagnostics/errors.ts';
import { blameQuantized } from '../../../src/quantization/blame-quantized.ts';

const cannotLoad = (path: string) =>
  new OnnxError({
    code: 'onnx/cannot-load',
    message: `onnxruntime cannot load ${path}: bad scales in the Resize operator`,
    hint: 'check that the file is a complete ONNX model',
  });

test('an int8 model that cannot be loaded is called what it is, with the reason', () => {
  const error = blameQuantized(cannotLoad('/tmp/int8.onnx'), '/tmp/int8.onnx');
  assert.ok(error instanceof OnnxError);
  assert.equal(error.code, 'quantize/unusable-model');
  assert.equal(
    error.message,
    'onnxruntime cannot load the int8 model that drq made, though the float model runs: bad scales in the Resize operator',
  );
  assert.match(error.hint ?? '', /fault of drq.*exclude/);
});

test('errors of the float model, and others, stay what they are', () => {
  for (const error of [cannotLoad('/tmp/float-int8.onnx'), cannotLoad('x'), new Error('disk')]) {
    assert.equal(blameQuantized(error, 'int8.onnx'), error);
  }
});
