import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createWeightAverage } from '../../../src/training/weight-average.ts';
import { tensorflowOrSkip } from '../../support/tensorflow.ts';

test('the average follows by min(decay, (1 + step) / (10 + step))', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const parameters = new Map([['w', tf.tensor1d([0, 8])]]);
  const before = tf.memory().numTensors;
  const average = createWeightAverage(tf, { parameters }, 0.5);
  parameters.get('w')?.dispose();
  parameters.set('w', tf.tensor1d([10, 8]));
  average.update(0); // decay 1 / 10: 0.1 * 0 + 0.9 * 10
  assert.deepEqual([...(average.read().get('w') ?? [])], [9, 8]);
  average.update(1000); // decay 0.5, not 1001 / 1010
  assert.deepEqual([...(average.read().get('w') ?? [])], [9.5, 8]);
  average.write(new Map([['w', Float32Array.of(1, 2)]]));
  assert.deepEqual([...(average.read().get('w') ?? [])], [1, 2]);
  average.dispose();
  assert.equal(tf.memory().numTensors, before);
});
