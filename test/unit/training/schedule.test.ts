import assert from 'node:assert/strict';
import { test } from 'node:test';
import { learningRateAt, type LearningRateOptions } from '../../../src/training/schedule.ts';

test("steps are PyTorch's MultiStepLR with milestones 100 and 150", () => {
  const options = {
    learningRate: 1e-4,
    schedule: { kind: 'steps', milestones: [100, 150], gamma: 0.1 },
    warmupEpochs: 0,
  } as const;
  // torch.optim.lr_scheduler.MultiStepLR(SGD(lr=1e-4), [100, 150], 0.1), epochs counted from 0
  const expected = { 0: 1e-4, 99.9: 1e-4, 100: 1e-5, 149: 1e-5, 150: 1e-6, 199: 1e-6 };
  for (const [position, rate] of Object.entries(expected)) {
    const actual = rateAt(options, Number(position), Number(position) / 200);
    assert.ok(Math.abs(actual / rate - 1) < 1e-12, `${position}: ${actual}`);
  }
});

test('a cosine goes from the full rate over its half to zero, and stays there', () => {
  const options = { learningRate: 0.2, schedule: { kind: 'cosine' }, warmupEpochs: 0 } as const;
  const rates = [0, 0.5, 1, 1.2].map((done) => rateAt(options, 10 * done, done));
  assert.deepEqual(
    rates.map((rate) => Number(rate.toFixed(12))),
    [0.2, 0.1, 0, 0],
  );
});

test('the warm-up grows linearly by steps', () => {
  const options = { learningRate: 0.2, schedule: { kind: 'constant' }, warmupEpochs: 2 } as const;
  const rates = [0, 0.5, 1, 2, 3].map((position) => rateAt(options, position, 0));
  assert.deepEqual(rates, [0, 0.05, 0.1, 0.2, 0.2]);
});

test("a one-cycle is PyTorch's OneCycleLR", () => {
  // OneCycleLR(SGD, max_lr=0.2, total_steps=20, pct_start=0.3), PyTorch 2.15
  const expected = [
    0.008000000000000007, 0.026334368540005065, 0.07433436854000505, 0.13366563145999494,
    0.18166563145999495, 0.2, 0.19749280124701749, 0.19009692640269477, 0.17818323551421,
    0.1623491307899526, 0.14338860035826018, 0.12225240438725786, 0.1000004, 0.07774839561274215,
    0.056612199641739844, 0.0376516692100474, 0.021817564485790007, 0.009903873597305258,
    0.002507998752982511, 8e-7,
  ];
  const schedule = { kind: 'one-cycle', riseFraction: 0.3 } as const;
  const options = { learningRate: 0.2, schedule, warmupEpochs: 0 };
  expected.forEach((rate, step) => {
    const actual = rateAt(options, step / 4, step / 20);
    assert.ok(Math.abs(actual / rate - 1) < 1e-9, `step ${step}: ${actual}`);
  });
  // One step, and more steps than were foreseen, still have a rate.
  const single = { doneFraction: 0, epochPosition: 0, stepCount: 1 };
  assert.equal(learningRateAt(options, single), 0.2);
  assert.ok(Math.abs(rateAt(options, 6, 1.2) - 8e-7) < 1e-12);
});

function rateAt(options: LearningRateOptions, epochPosition: number, doneFraction: number): number {
  return learningRateAt(options, { epochPosition, doneFraction, stepCount: 20 });
}
