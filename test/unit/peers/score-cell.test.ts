import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeModel, makeNode } from '../../../src/onnx/build.ts';
import { graphOf } from '../../../src/onnx/model.ts';
import { nodesBetweenLayers } from '../../peers/score-cell.ts';

test('only nodes with an integer layer before and behind are between', () => {
  const node = (opType: string, input: string, output: string) =>
    makeNode({ opType, name: output, inputs: [input], outputs: [output] });
  const model = makeModel({
    ...{ graphName: 'g', opset: 17, initializers: [] },
    nodes: [
      node('Sub', 'image', 'before'),
      node('QLinearConv', 'before', 'first'),
      node('Sigmoid', 'first', 'inside'),
      node('Tanh', 'first', 'aside'),
      node('QGemm', 'inside', 'last'),
      node('Softmax', 'last', 'behind'),
    ],
    inputs: [],
    outputs: [],
  });
  assert.deepEqual([...nodesBetweenLayers(graphOf(model))], ['inside']);
});
