import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileNameOf } from '../../../src/plan/output-path.ts';

test('stage ids become single, safe, distinct path components', () => {
  assert.equal(
    fileNameOf('quantize@granularity=per-channel,n=4'),
    'quantize@granularity=per-channel,n=4',
  );
  assert.equal(fileNameOf('a@path=x/y'), 'a@path=x%2Fy');
  assert.equal(fileNameOf('..'), '%2E%2E');
  const long = fileNameOf('x'.repeat(300));
  assert.ok(long.length <= 200);
  assert.notEqual(long, fileNameOf('x'.repeat(301)));
});
