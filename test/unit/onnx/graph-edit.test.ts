import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  nameMaker,
  pruneInitializers,
  pruneNodes,
  sortNodes,
} from '../../../src/onnx/graph-edit.ts';
import { graphWith } from '../../support/sum-graph.ts';

test('sorted nodes make every tensor before it is read, whatever the order was', () => {
  const dag = fc
    .array(fc.array(fc.nat(), { maxLength: 3 }), { minLength: 1, maxLength: 12 })
    .map((rows) => rows.map((row, i) => ['x', ...row.filter(() => i > 0).map((n) => `t${n % i}`)]));
  fc.assert(
    fc.property(dag, fc.infiniteStream(fc.nat()), (inputsOf, order) => {
      const graph = graphWith(inputsOf, ['t0']);
      const keyed = graph.node.map((node) => ({ node, key: Number(order.next().value) }));
      graph.node = keyed.sort((a, b) => a.key - b.key).map(({ node }) => node);
      sortNodes(graph);
      assert.equal(graph.node.length, inputsOf.length);
      const made = new Set(['x']);
      for (const { input, output } of graph.node) {
        assert.ok(input.every((name) => made.has(name)));
        for (const name of output) made.add(name);
      }
    }),
  );
});

test('a cycle is refused', () => {
  const graph = graphWith([['t1'], ['t0']], ['t1']);
  assert.throws(() => sortNodes(graph), {
    code: 'onnx/cycle',
    message: /depends on its own output/,
  });
});

test('what nobody reads goes', () => {
  const graph = graphWith([['x', 'k'], ['t0'], ['t0']], ['t2']);
  pruneNodes(graph);
  pruneInitializers(graph);
  assert.deepEqual(
    graph.node.map(({ name }) => name),
    ['n0', 'n2'],
  );
  assert.deepEqual(
    graph.initializer.map(({ name }) => name),
    ['k'],
  );
});

test('new names avoid those of tensors, nodes and initializers', () => {
  const newName = nameMaker(graphWith([['x']], ['t0']));
  assert.deepEqual(['t0', 'n0', 'k', 'free', 'free'].map(newName), [
    't0_2',
    'n0_2',
    'k_2',
    'free',
    'free_2',
  ]);
});
