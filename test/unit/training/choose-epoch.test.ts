import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasStalled, isBetter } from '../../../src/training/choose-epoch.ts';
import type { EpochRecord } from '../../../src/training/training-state.ts';

/** One record an epoch; null: not validated. */
function epochsOf(...accuracies: (number | null)[]): EpochRecord[] {
  return accuracies.map((top1Fraction, i) => ({
    ...{ epoch: i + 1, learningRate: 0.1, imageCount: 16, trainLoss: 1, trainTop1Fraction: 0.5 },
    validation: top1Fraction === null ? null : { imageCount: 10, loss: 1, top1Fraction },
    ...{ imagesPerSecond: 10, dataWaitFraction: 0, durationMs: 1000, endedAtSeconds: 100 + i },
  }));
}

test('of equal accuracies the lower loss is better, and anything than nothing', () => {
  const [a, b] = [
    { imageCount: 10, loss: 1, top1Fraction: 0.5 },
    { imageCount: 10, loss: 2, top1Fraction: 0.5 },
  ];
  assert.ok(isBetter(a, b));
  assert.ok(!isBetter(b, a));
  assert.ok(!isBetter(a, a));
  assert.ok(isBetter({ ...b, top1Fraction: 0.6 }, a));
  assert.ok(isBetter(b, null));
  assert.ok(!isBetter(null, null));
});

test('patience counts epochs since the best one', () => {
  const recipe = { patience: 2, headEpochs: 0, warmupEpochs: 0 };
  assert.ok(!hasStalled([], recipe));
  assert.ok(!hasStalled(epochsOf(0.5, 0.4), recipe));
  assert.ok(hasStalled(epochsOf(0.5, 0.4, 0.5), recipe)); // as good is not better
  assert.ok(!hasStalled(epochsOf(0.5, 0.4, 0.6), recipe));
  assert.ok(!hasStalled(epochsOf(0.5, 0.4, 0.3, 0.2), { ...recipe, patience: null }));
  assert.ok(!hasStalled(epochsOf(null, null, null, null), recipe));
});

test('patience begins after the epochs of the head alone and of the warm-up', () => {
  const recipe = { patience: 1, headEpochs: 4, warmupEpochs: 0 };
  assert.ok(!hasStalled(epochsOf(0.9, 0.8), recipe));
  assert.ok(!hasStalled(epochsOf(0.9, 0.8, 0.7, 0.6), recipe));
  assert.ok(hasStalled(epochsOf(0.9, 0.8, 0.7, 0.6, 0.5), recipe));
  assert.ok(!hasStalled(epochsOf(0.9, 0.8, 0.7, 0.6, 0.95), recipe));
  const warm = { patience: 2, headEpochs: 0, warmupEpochs: 1.5 }; // the second epoch ends at the full rate
  assert.ok(!hasStalled(epochsOf(0.9, 0.8, 0.7), warm));
  assert.ok(hasStalled(epochsOf(0.9, 0.8, 0.7, 0.6), warm));
});
