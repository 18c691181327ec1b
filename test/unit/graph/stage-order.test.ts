import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { findCycles, topologicalOrder } from '../../../src/graph/stage-order.ts';

test('every name comes after what it depends on, and nothing is lost', () => {
  // Names in any order; each may depend on names of a lower number, so that there is no circle.
  const graph = fc
    .integer({ min: 1, max: 12 })
    .chain((size) =>
      fc.tuple(
        fc.shuffledSubarray([...Array(size).keys()], { minLength: size }),
        fc.array(fc.tuple(fc.nat(size - 1), fc.nat(size - 1)), { maxLength: 30 }),
      ),
    );
  fc.assert(
    fc.property(graph, ([names, edges]) => {
      const dependencies = new Map(names.map((name) => [String(name), new Set<string>()]));
      for (const [a, b] of edges) {
        if (a > b) dependencies.get(String(a))?.add(String(b));
      }
      assert.deepEqual(findCycles(dependencies), []);
      const order = topologicalOrder(dependencies);
      assert.deepEqual([...order].sort(), [...dependencies.keys()].sort());
      for (const [name, needed] of dependencies) {
        for (const other of needed) assert.ok(order.indexOf(other) < order.indexOf(name));
      }
    }),
  );
});

test('what is free keeps the order it was given in', () => {
  const dependencies = new Map([
    ['c', new Set<string>()],
    ['b', new Set(['a'])],
    ['a', new Set<string>()],
    ['d', new Set<string>()],
  ]);
  assert.deepEqual(topologicalOrder(dependencies), ['c', 'a', 'b', 'd']);
});

test('a circle is shown as the way round it', () => {
  const dependencies = new Map([
    ['x', new Set(['a'])],
    ['a', new Set(['b'])],
    ['b', new Set(['c'])],
    ['c', new Set(['a'])],
    ['self', new Set(['self'])],
  ]);
  assert.deepEqual(findCycles(dependencies), [
    ['a', 'b', 'c', 'a'],
    ['self', 'self'],
  ]);
});
