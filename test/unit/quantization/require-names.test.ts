import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeNode, makeValueInfo } from '../../../src/onnx/build.ts';
import { graphOf, type OnnxModel } from '../../../src/onnx/model.ts';
import { requireNames } from '../../../src/quantization/require-names.ts';
import { tinyConvnet } from '../../support/tiny-convnet.ts';

function refused(model: OnnxModel, name: string, hint: string): Promise<void> {
  const names = requireNames(
    () => Promise.resolve(model),
    { exclude: [name] },
    () => 'exclude',
  );
  return assert.rejects(names, { code: 'quantize/unknown-node', hint });
}

test('who gives the name of a tensor is told the node that makes it', async () => {
  const model = tinyConvnet();
  await refused(model, 'r1', '"r1" is a tensor, which "relu" makes: give the name of the node');
  const relu = graphOf(model).node.find(({ name }) => name === 'relu');
  assert.ok(relu);
  relu.name = '';
  await refused(
    model,
    'r1',
    '"r1" is a tensor, which "Relu → r1" makes: give the name of the node',
  );
});

test('how nodes without a name are called is told by one of them', async () => {
  const many = (named: (i: number) => string): OnnxModel => {
    const model = tinyConvnet();
    const graph = graphOf(model);
    const last = graph.output[0]?.name ?? '';
    for (let i = 0; i < 30; i += 1) {
      graph.node.push(
        makeNode({
          opType: 'Sigmoid',
          inputs: [i === 0 ? last : `s${i - 1}`],
          outputs: [`s${i}`],
          name: named(i),
        }),
      );
    }
    graph.output.splice(0, 1, makeValueInfo('s29', ['N', 3]));
    return model;
  };
  const plain = 'give names of nodes, as a viewer of ONNX models shows them';
  await refused(
    many((i) => `node ${i}`),
    'x?',
    plain,
  );
  await refused(
    many(() => ''),
    'x?',
    `${plain}, or of nodes without a name their operator and first output, such as "Sigmoid → s0"`,
  );
});
