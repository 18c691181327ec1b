import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cellId, expandMatrix, matrixSize } from '../../../src/graph/expand-matrix.ts';

test('include follows the worked example of the GitHub Actions documentation', () => {
  // docs.github.com, "Running variations of jobs in a workflow", "Expanding or adding matrix configurations".
  const cells = expandMatrix({
    axes: new Map([
      ['fruit', ['apple', 'pear']],
      ['animal', ['cat', 'dog']],
    ]),
    include: [
      { color: 'green' },
      { color: 'pink', animal: 'cat' },
      { fruit: 'apple', shape: 'circle' },
      { fruit: 'banana' },
      { fruit: 'banana', animal: 'cat' },
    ],
    exclude: [],
  });
  assert.deepEqual(cells, [
    { fruit: 'apple', animal: 'cat', color: 'pink', shape: 'circle' },
    { fruit: 'apple', animal: 'dog', color: 'green', shape: 'circle' },
    { fruit: 'pear', animal: 'cat', color: 'pink' },
    { fruit: 'pear', animal: 'dog', color: 'green' },
    { fruit: 'banana' },
    { fruit: 'banana', animal: 'cat' },
  ]);
});

test('exclude matches part of a cell, and include comes after it', () => {
  const cells = expandMatrix({
    axes: new Map<string, readonly (string | number)[]>([
      ['count', [4, 16]],
      ['method', ['min-max', 'percentile']],
    ]),
    include: [{ count: 4, method: 'percentile' }],
    exclude: [{ count: 4 }],
  });
  assert.deepEqual(cells, [
    { count: 16, method: 'min-max' },
    { count: 16, method: 'percentile' },
    { count: 4, method: 'percentile' },
  ]);
});

test('include alone makes one cell an entry', () => {
  const include = [{ site: 'a', n: 1 }, { site: 'b' }];
  assert.deepEqual(expandMatrix({ axes: new Map(), include, exclude: [] }), include);
});

test('ids are readable, and safe as folder names', () => {
  assert.equal(cellId('train', {}), 'train');
  assert.equal(
    cellId('quantize', { granularity: 'per-channel', rate: 0.5, on: true }),
    'quantize@granularity=per-channel,rate=0.5,on=true',
  );
  assert.equal(cellId('a', { x: '../b, c=d' }), 'a@x=..%2Fb%2C%20c%3Dd');
});

test('the number of cells is the product of the axes', () => {
  const axis = fc.uniqueArray(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(fc.array(axis, { minLength: 1, maxLength: 4 }), (lists) => {
      const axes = new Map(lists.map((values, index) => [`axis${index}`, values]));
      const matrix = { axes, include: [], exclude: [] };
      const cells = expandMatrix(matrix);
      const product = lists.reduce((size, values) => size * values.length, 1);
      assert.equal(cells.length, product);
      assert.equal(matrixSize(matrix), product);
      assert.equal(new Set(cells.map((cell) => cellId('s', cell))).size, product);
    }),
  );
});
