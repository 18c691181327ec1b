import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Tensor } from '@tensorflow/tfjs-node';
import { NO_CHANGES } from '../../../src/training/batches.ts';
import { relativeDifference } from '../../../src/training/export-checked-onnx.ts';
import { rebuildBatchNorm, type RebuildOptions } from '../../../src/training/rebuild-batch-norm.ts';
import { smallTraining } from '../../support/small-training.ts';
import { tensorflowOrSkip } from '../../support/tensorflow.ts';

test('the network keeps its function and gets the statistics of its images', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const training = await smallTraining(context, tf);
  const { runner } = training;
  // A folded bias is beta; gamma sqrt(1 + epsilon) makes the identity of mean 0 and variance 1.
  runner.replace('b.weight', tf.fill([4], Math.sqrt(1 + 1e-5)));
  runner.replace('b.bias', tf.tensor1d([0.5, -0.25, 1, 0]));
  const images = tf.randomNormal([2, 8, 8, 3], 0, 1, 'float32', 1);
  const before = runner.predict(images);
  const done: number[] = [];
  await rebuildBatchNorm({
    ...rebuildOptions(training),
    onImages: (count, total) => {
      assert.equal(total, 16);
      done.push(count);
    },
  });
  assert.deepEqual(done, [4, 8, 12, 16]);
  assert.ok(relativeDifference(before.dataSync(), runner.predict(images).dataSync()) < 1e-5);
  const expected = await outputMeans(training);
  const means = runner.parameters.get('b.running_mean')!; // of the one batch norm
  assert.ok(relativeDifference(expected.dataSync(), means.dataSync()) < 1e-5);
});

test('an abort is noticed at the next batch, and nothing is changed', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const training = await smallTraining(context, tf);
  const before = training.runner.readWeights();
  const controller = new AbortController();
  let batches = 0;
  const rebuilding = rebuildBatchNorm({
    ...rebuildOptions(training),
    signal: controller.signal,
    onImages: () => {
      batches += 1;
      controller.abort();
    },
  });
  await assert.rejects(rebuilding, { code: 'run/interrupted' });
  assert.equal(batches, 1);
  assert.deepEqual(training.runner.readWeights(), before);
});

type Training = Awaited<ReturnType<typeof smallTraining>>;

function rebuildOptions({ tf, runner, source, shards, signal }: Training): RebuildOptions {
  return {
    ...{ tf, runner, source, shards, signal },
    ...{ batchSize: 4, seed: 0, onImages: () => undefined },
  };
}

/** Means of the convolution's outputs on all images at once, [channels]. */
async function outputMeans({ tf, runner, source, shards }: Training): Promise<Tensor> {
  const indices = [...shards.splits.train.entries.keys()];
  const { imagesNhwc } = await source.request('train', indices, NO_CHANGES, '').finish();
  let means: Tensor = tf.scalar(NaN);
  runner.convolutionOutputs(tf.tensor4d(imagesNhwc, [indices.length, 8, 8, 3]), (_layer, z) => {
    means = tf.keep(z.mean([0, 1, 2]));
  });
  return means;
}
