import assert from 'node:assert/strict';
import { test } from 'node:test';
import { joinCells, orderCell } from '../../../src/graph/join-cells.ts';

test('shared axes stay aligned and others multiply', () => {
  const joined = joinCells([
    { stageName: 'a', axes: new Set(['n']), cells: [{ n: 1 }, { n: 2 }] },
    {
      stageName: 'b',
      axes: new Set(['n', 'm']),
      cells: [
        { n: 1, m: 'x' },
        { n: 2, m: 'x' },
        { n: 2, m: 'y' },
      ],
    },
    { stageName: 'c', axes: new Set(['k']), cells: [{ k: true }, { k: false }] },
  ]);
  assert.deepEqual(
    joined.map(({ cell }) => cell),
    [
      { n: 1, m: 'x', k: true },
      { n: 1, m: 'x', k: false },
      { n: 2, m: 'x', k: true },
      { n: 2, m: 'x', k: false },
      { n: 2, m: 'y', k: true },
      { n: 2, m: 'y', k: false },
    ],
  );
  assert.deepEqual(joined[4]?.from.get('a'), { n: 2 });
  assert.deepEqual(joined[4].from.get('b'), { n: 2, m: 'y' });
});

test('a cell that lacks a shared axis is matched only by one that lacks it too', () => {
  const cells = [{ fruit: 'banana' }, { fruit: 'banana', animal: 'cat' }];
  const axes = new Set(['fruit', 'animal']);
  const joined = joinCells([
    { stageName: 'a', axes, cells },
    { stageName: 'b', axes, cells },
  ]);
  assert.deepEqual(
    joined.map(({ cell }) => cell),
    cells,
  );
});

test('coordinates are put in the order of the axes', () => {
  assert.deepEqual(Object.keys(orderCell({ b: 1, a: 2 }, ['a', 'x', 'b'])), ['a', 'b']);
});
