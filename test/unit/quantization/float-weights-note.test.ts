import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeTensor } from '../../../src/onnx/build.ts';
import { floatWeightsNote } from '../../../src/quantization/float-weights-note.ts';
import { nodeSpec, smallModel } from '../../support/quantize-one.ts';

test('weights that stay float are noted from a quarter of all on', () => {
  const noteFor = (floatCount: number, int8Count: number): string[] =>
    floatWeightsNote(
      smallModel({
        nodes: [nodeSpec('Relu', ['input'], 'y')],
        input: [1, 4],
        output: 'y',
        tensors: [
          makeTensor('float', [floatCount], new Float32Array(floatCount)),
          makeTensor('codes', [int8Count], new Int8Array(int8Count)),
        ],
      }),
    );
  assert.deepEqual(noteFor(24, 76), []);
  assert.deepEqual(noteFor(25, 75), [
    '25 % of the weights stay in float, so the file is that much larger: the report tells of each operator why',
  ]);
  assert.deepEqual(noteFor(0, 0), []);
});
