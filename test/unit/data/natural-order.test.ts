import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareNatural } from '../../../src/data/natural-order.ts';

test('numbers in names count as numbers', () => {
  const sorted = ['10', '9', 'a10', 'a9b', 'a9', '2', '02'].sort(compareNatural);
  assert.deepEqual(sorted, ['02', '2', '9', '10', 'a9', 'a9b', 'a10']);
});

test('it is a total order', () => {
  const name = fc.stringMatching(/^[a-b0-2]{0,6}$/);
  fc.assert(
    fc.property(name, name, name, (a, b, c) => {
      assert.equal(Math.sign(compareNatural(a, b)) + Math.sign(compareNatural(b, a)), 0);
      assert.equal(compareNatural(a, b) === 0, a === b);
      if (compareNatural(a, b) <= 0 && compareNatural(b, c) <= 0) {
        assert.ok(compareNatural(a, c) <= 0);
      }
    }),
  );
});
