import assert from 'node:assert/strict';
import { test } from 'node:test';
import { summarizeNodes } from '../../../src/quantization/operator-times.ts';

test('operators are counted and timed in the fastest run as a whole', () => {
  const times = summarizeNodes([
    { operator: 'Conv', node: 'a', durationsMs: [4, 2] },
    { operator: 'Add', node: 'b', durationsMs: [1, 2] },
    { operator: 'Conv', node: 'c', durationsMs: [3, 2] },
  ]);
  assert.deepEqual(times, [
    { operator: 'Conv', count: 2, ms: 4 },
    { operator: 'Add', count: 1, ms: 2 },
  ]);
  assert.deepEqual(summarizeNodes([]), []);
});
