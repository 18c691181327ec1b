import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { diffValues, flatten } from '../../../src/tables/lock-diff.ts';

test('nested parameters have dotted paths; lists and empty objects are values', () => {
  assert.deepEqual(flatten({ a: { b: 1, c: { d: null } }, e: [1, { f: 2 }], g: {} }), {
    'a.b': 1,
    'a.c.d': null,
    e: [1, { f: 2 }],
    g: {},
  });
});

test('what is equal is no change, what is new or gone is', () => {
  assert.deepEqual(diffValues({ same: [1], gone: 1, other: 0 }, { same: [1], new: 2, other: -1 }), [
    { path: 'gone', before: 1, after: undefined },
    { path: 'other', before: 0, after: -1 },
    { path: 'new', before: undefined, after: 2 },
  ]);
});

test('a difference is seen from both sides, and nothing differs from itself', () => {
  const values = fc.dictionary(fc.string(), fc.oneof(fc.integer(), fc.string(), fc.boolean()));
  fc.assert(
    fc.property(values, values, (a, b) => {
      const paths = (changes: ReturnType<typeof diffValues>) =>
        changes.map(({ path }) => path).sort();
      assert.deepEqual(paths(diffValues(a, b)), paths(diffValues(b, a)));
      assert.deepEqual(diffValues(a, structuredClone(a)), []);
    }),
  );
});
