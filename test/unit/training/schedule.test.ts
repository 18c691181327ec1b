import assert from 'node:assert/strict';
import { test } from 'node:test';
import { learningRateAt } from '../../../src/training/schedule.ts';

test("steps are PyTorch's MultiStepLR with milestones 100 and 150", () => {
  const options = {
    learningRate: 1e-4,
    schedule: { kind: 'steps', milestones: [100, 150], gamma: 0.1 },
    warmupEpochs: 0,
  } as const;
  // torch.optim.lr_scheduler.MultiStepLR(SGD(lr=1e-4), [100, 150], 0.1), epochs counted from 0
  const expected = { 0: 1e-4, 99.9: 1e-4, 100: 1e-5, 149: 1e-5, 150: 1e-6, 199: 1e-6 };
  for (const [position, rate] of Object.entries(expected)) {
    const actual = learningRateAt(options, Number(position), Number(position) / 200);
    assert.ok(Math.abs(actual / rate - 1) < 1e-12, `${position}: ${actual}`);
  }
});

test('a cosine goes from the full rate over its half to zero, and stays there', () => {
  const options = { learningRate: 0.2, schedule: { kind: 'cosine' }, warmupEpochs: 0 } as const;
  const rates = [0, 0.5, 1, 1.2].map((done) => learningRateAt(options, 10 * done, done));
  assert.deepEqual(
    rates.map((rate) => Number(rate.toFixed(12))),
    [0.2, 0.1, 0, 0],
  );
});

test('the warm-up grows linearly by steps', () => {
  const options = { learningRate: 0.2, schedule: { kind: 'constant' }, warmupEpochs: 2 } as const;
  const rates = [0, 0.5, 1, 2, 3].map((position) => learningRateAt(options, position, 0));
  assert.deepEqual(rates, [0, 0.05, 0.1, 0.2, 0.2]);
});
