import assert from 'node:assert/strict';
import { test } from 'node:test';
import { usablePrecision } from '../../../src/training/precision.ts';

test('bfloat16 is float32 where the CPU has no instructions for it', () => {
  assert.equal(usablePrecision('bfloat16', true), 'bfloat16');
  assert.equal(usablePrecision('bfloat16', false), 'float32');
  assert.equal(usablePrecision('float32', true), 'float32');
});
