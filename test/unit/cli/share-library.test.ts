import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasOwnKinds } from '../../../src/cli/share-library.ts';

test('stage kinds of ones own are seen however YAML writes them, and no others', () => {
  for (const text of [
    'kind: ./my-stage.js',
    '    kind:   ../stages/x.mjs',
    'a: { kind: ./x.js }',
    '"kind": "./x.js"',
    "kind: './x.js'",
  ]) {
    assert.ok(hasOwnKinds(text), text);
  }
  for (const text of ['kind: train', 'path: ./data', 'kind: .x', 'mankind: x']) {
    assert.ok(!hasOwnKinds(text), text);
  }
});
