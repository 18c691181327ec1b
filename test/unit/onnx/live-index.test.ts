import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { makeNode, makeTensor } from '../../../src/onnx/build.ts';
import { indexGraph } from '../../../src/onnx/graph-edit.ts';
import { createLiveIndex } from '../../../src/onnx/live-index.ts';
import { graphWith } from '../../support/sum-graph.ts';

test('a bypassed node leaves graph outputs their names', () => {
  const bypassed = (inputsOf: string[][], outputs: string[], node: number, source: string) => {
    const graph = graphWith(inputsOf, outputs);
    const index = createLiveIndex(graph);
    index.bypass(graph.node[node]!, source);
    index.settle();
    return graph.node.map(({ input, output }) => [...input, ...output]);
  };
  assert.deepEqual(bypassed([['x'], ['t0'], ['t1']], ['t2'], 1, 't0'), [
    ['x', 't0'],
    ['t0', 't2'],
  ]);
  assert.deepEqual(bypassed([['x'], ['t0']], ['t1'], 1, 't0'), [['x', 't1']]);
  // Another reader of what gets the output's name reads that.
  assert.deepEqual(bypassed([['x'], ['t0'], ['t0']], ['t1', 't2'], 1, 't0'), [
    ['x', 't1'],
    ['t1', 't2'],
  ]);
  // An input that is an output keeps its node: an output must have a maker.
  assert.deepEqual(bypassed([['x']], ['t0'], 0, 'x'), [['x', 't0']]);
});

test('new nodes stand where the one they replace stood', () => {
  const graph = graphWith([['x'], ['t0'], ['t1']], ['t2']);
  const index = createLiveIndex(graph);
  const of = (name: string, input: string, output: string) =>
    makeNode({ opType: 'Relu', name, inputs: [input], outputs: [output] });
  index.replaceNode(graph.node[1]!, [of('a', 't0', 'between'), of('b', 'between', 't1')]);
  index.settle();
  assert.deepEqual(
    graph.node.map(({ name }) => name),
    ['n0', 'a', 'b', 'n2'],
  );
});

test('after any changes the index is that of the graph', () => {
  const names = fc.array(fc.constantFrom('x', 'k', '', 't0', 't1', 't2', 'new'), { maxLength: 4 });
  const change = fc.record({
    kind: fc.constantFrom('inputs', 'outputs', 'uses', 'replace', 'drop', 'bypass'),
    node: fc.nat({ max: 3 }),
    names,
  });
  const shown = ({ producers, consumers, initializers }: ReturnType<typeof indexGraph>) => ({
    producers: [...producers].map(([name, node]) => `${name} ${node.name}`).sort(),
    consumers: [...consumers]
      .map(([name, nodes]) =>
        [
          name,
          nodes
            .map((node) => node.name)
            .sort()
            .join(),
        ].join(' '),
      )
      .filter((line) => !line.endsWith(' '))
      .sort(),
    initializers: [...initializers.keys()],
  });
  fc.assert(
    fc.property(
      fc.array(names, { minLength: 4, maxLength: 4 }),
      fc.array(change, { maxLength: 8 }),
      (inputsOf, changes) => {
        const graph = graphWith(inputsOf, ['t3']);
        const index = createLiveIndex(graph);
        for (const [i, { kind, node: place, names: given }] of changes.entries()) {
          const node = graph.node[place % graph.node.length];
          if (node === undefined) break;
          const own = `own${i}`;
          if (kind === 'inputs') index.setInputs(node, given);
          if (kind === 'outputs') index.setOutputs(node, [own]);
          if (kind === 'uses') index.replaceUses(given[0] ?? 'x', given[1] ?? 'x');
          if (kind === 'drop') index.replaceNode(node);
          if (kind === 'bypass') index.bypass(node, node.input[0] ?? '');
          if (kind === 'replace')
            index.replaceNode(node, [
              makeNode({ opType: 'Relu', name: own, inputs: given, outputs: [own] }),
            ]);
          index.settle();
        }
        index.addInitializer(makeTensor('more', [1], Float32Array.of(2)));
        assert.deepEqual(shown(index), shown(indexGraph(graph)));
      },
    ),
  );
});
