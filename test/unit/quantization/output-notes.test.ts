import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeModel, makeNode, makeValueInfo } from '../../../src/onnx/build.ts';
import type { OnnxModel } from '../../../src/onnx/model.ts';
import { classifierSignature } from '../../../src/onnx/model-signature.ts';
import { outputNotes } from '../../../src/quantization/output-notes.ts';

/** The operators in a row, then outputs of these dimensions. */
function modelOf(operators: readonly string[], ...outputs: (number | string)[][]): OnnxModel {
  const nodes = operators.map((opType, i) =>
    makeNode({ opType, name: `n${i}`, inputs: [i === 0 ? 'x' : `y${i}`], outputs: [`y${i + 1}`] }),
  );
  return makeModel({
    graphName: 'notes',
    opset: 17,
    inputs: [makeValueInfo('x', ['N', 3, 8, 8])],
    outputs: outputs.map((dims, i) => makeValueInfo(`y${operators.length + i}`, dims)),
    initializers: [],
    nodes,
  });
}

test('nothing is said of a row of class scores', () => {
  for (const dims of [['N', 5], [1, 1000], ['N', 5, 1, 1], ['N', 'classes'], [1000], []]) {
    assert.deepEqual(outputNotes(modelOf(['Gemm'], dims)), []);
  }
});

test('one score is a decision, by where the model ends', () => {
  const shapes = [['N', 1], [1, 1], ['N'], ['N', 1, 1, 1]];
  for (const dims of shapes) {
    const [logit = '', ...none] = outputNotes(modelOf(['Gemm'], dims));
    assert.deepEqual(none, []);
    assert.match(logit, /one score an image, .* the logit .*: top-1 is which side of 0 it is on/);
    for (const rest of [[], ['Squeeze'], ['QuantizeLinear', 'DequantizeLinear', 'Flatten']]) {
      const [note = ''] = outputNotes(modelOf(['Gemm', 'Sigmoid', ...rest], dims));
      assert.match(note, /the probability .*: top-1 is which side of 0\.5 it is on/);
    }
  }
});

test('a softmax is told from a sigmoid, and both from logits', () => {
  const scoresOf = (...operators: string[]) =>
    classifierSignature(modelOf(operators, ['N', 5]), 'm').scores;
  assert.equal(scoresOf('Gemm', 'Softmax', 'Cast'), 'probabilities');
  assert.equal(scoresOf('Gemm', 'Sigmoid', 'Reshape'), 'sigmoids');
  assert.equal(scoresOf('Sigmoid', 'Gemm'), 'logits');
});

test('a map of features is no row of class scores', () => {
  assert.deepEqual(outputNotes(modelOf(['Conv'], ['N', 32, 16, 16])), [
    'output "y1" is [?, 32, 16, 16], no row of class scores: SQNR is of all its values; top-1 and KL would mean nothing there and are left out',
  ]);
});

test('of several outputs the first is looked at', () => {
  const [note, ...others] = outputNotes(modelOf(['Gemm', 'Relu'], ['N', 5], ['N', 7]));
  assert.deepEqual(others, []);
  assert.match(note ?? '', /has 2 outputs: .* of the first, "y2", alone; not of "y3"/);
});
