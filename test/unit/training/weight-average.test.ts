import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createWeightAverage } from '../../../src/training/weight-average.ts';
import { parametersOf } from '../../support/updated-parameters.ts';
import { tensorflowOrSkip } from '../../support/tensorflow.ts';

test('the average follows by min(decay, (1 + step) / (10 + step))', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const before = tf.memory().numTensors;
  const network = parametersOf(tf, [0, 8]);
  const average = createWeightAverage(tf, network, 0.5);
  const values = (): number[] => [...(average.tensors.get('w')?.dataSync() ?? [])];
  network.replace('w', tf.tensor1d([10, 8]));
  average.update(0); // decay 1 / 10: 0.1 * 0 + 0.9 * 10
  assert.deepEqual(values(), [9, 8]);
  average.update(1000); // decay 0.5, not 1001 / 1010
  assert.deepEqual(values(), [9.5, 8]);
  average.write(new Map([['w', Float32Array.of(1, 2)]]));
  assert.deepEqual(values(), [1, 2]);
  average.reset();
  assert.deepEqual(values(), [10, 8]);
  average.dispose();
  tf.dispose([...network.parameters.values()]);
  assert.equal(tf.memory().numTensors, before);
});

test('exchanged twice both are what they were, and an update changes no tensor seen before', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const before = tf.memory().numTensors;
  const network = parametersOf(tf, [1, 1]);
  const average = createWeightAverage(tf, network, 0.5);
  average.write(new Map([['w', Float32Array.of(3, 5)]]));
  const tensors = (): number[][] =>
    [network.parameters, average.tensors].map((map) => [...(map.get('w')?.dataSync() ?? [])]);
  average.exchange();
  assert.deepEqual(tensors(), [[3, 5], [1, 1]]); // prettier-ignore
  average.exchange();
  assert.deepEqual(tensors(), [[1, 1], [3, 5]]); // prettier-ignore
  const seen = average.tensors.get('w')!.clone(); // there is one for each parameter
  average.update(1000);
  assert.deepEqual(tensors(), [[1, 1], [2, 3]]); // prettier-ignore
  assert.deepEqual([...seen.dataSync()], [3, 5]);
  average.dispose();
  tf.dispose([seen, ...network.parameters.values()]);
  assert.equal(tf.memory().numTensors, before);
});
