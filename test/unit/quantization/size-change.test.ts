import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sizeChange } from '../../../src/quantization/size-change.ts';

test('a model that grew is called larger', () => {
  assert.equal(sizeChange(3.55), '3.55 times smaller');
  assert.equal(sizeChange(1), '1.00 times smaller');
  assert.equal(sizeChange(0.73), '1.37 times larger');
});
