import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { InternalError } from '../../../src/diagnostics/errors.ts';
import { canonicalJson } from '../../../src/store/canonical-json.ts';

test('keys stand in code-unit order, integer-like ones and capitals included', () => {
  assert.equal(
    canonicalJson({ b: 1, a: [true, null, 'é\n'], B: {}, 10: 0, 9: -0 }),
    '{"10":0,"9":0,"B":{},"a":[true,null,"é\\n"],"b":1}',
  );
});

test('what JSON cannot say is refused, with its place', () => {
  for (const value of [NaN, Infinity, -Infinity, undefined, 1n, () => 0, new Date(), new Map()]) {
    assert.throws(
      () => canonicalJson({ outer: [0, { inner: value }] }),
      (error) => {
        assert.ok(error instanceof InternalError);
        assert.match(error.message, /"\.outer\[1\]\.inner"/);
        return true;
      },
    );
  }
});

test('property: the order in which keys were set does not matter, and nothing is lost', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = canonicalJson(value);
      // -0 is written as 0, by JSON.stringify too.
      assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)));
      assert.equal(canonicalJson(reversed(value)), text);
    }),
  );
});

test('property: different values have different texts', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
      const same = JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
      assert.equal(canonicalJson(a) === canonicalJson(b), same);
    }),
  );
});

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, item]) => [key, reversed(item)]),
  );
}

/** An independent normal form: entries as pairs, sorted. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return {
    pairs: Object.entries(value)
      .map(([key, item]) => [key, sorted(item)] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  };
}
