import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  learningRateAt,
  type LearningRateOptions,
  type TrainingPlace,
} from '../../../src/training/schedule.ts';

/** At each step of a training that ends by steps. */
function rateAt(
  options: LearningRateOptions,
  step: number,
  { stepsPerEpoch, stepCount }: Pick<TrainingPlace, 'stepsPerEpoch' | 'stepCount'>,
): number {
  const doneFraction = step / stepCount;
  return learningRateAt(options, { step, stepsPerEpoch, stepCount, doneFraction });
}

function assertRates(actual: readonly number[], expected: readonly number[]): void {
  assert.equal(actual.length, expected.length);
  expected.forEach((rate, step) => {
    const difference = Math.abs((actual[step] ?? NaN) - rate);
    assert.ok(difference < 1e-9 * Math.max(rate, 1e-3), `step ${step}: ${actual[step]}, ${rate}`);
  });
}

test("steps are PyTorch's MultiStepLR with milestones 100 and 150", () => {
  const options = {
    learningRate: 1e-4,
    schedule: { kind: 'steps', milestones: [100, 150], gamma: 0.1 },
    warmupEpochs: 0,
  } as const;
  // torch.optim.lr_scheduler.MultiStepLR(SGD(lr=1e-4), [100, 150], 0.1), epochs counted from 0
  const expected = { 0: 1e-4, 99.9: 1e-4, 100: 1e-5, 149: 1e-5, 150: 1e-6, 199: 1e-6 };
  for (const [position, rate] of Object.entries(expected)) {
    const size = { stepsPerEpoch: 10, stepCount: 2000 };
    const actual = rateAt(options, 10 * Number(position), size);
    assert.ok(Math.abs(actual / rate - 1) < 1e-12, `${position}: ${actual}`);
  }
});

test('a cosine goes from the full rate over its half to zero, and stays there', () => {
  const options = { learningRate: 0.2, schedule: { kind: 'cosine' }, warmupEpochs: 0 } as const;
  const size = { stepsPerEpoch: 2, stepCount: 20 };
  assertRates(
    [0, 10, 20, 24].map((step) => rateAt(options, step, size)),
    [0.2, 0.1, 0, 0],
  );
});

test('the warm-up grows linearly from the first step and ends at the full rate', () => {
  const options = { learningRate: 0.2, schedule: { kind: 'constant' }, warmupEpochs: 2 } as const;
  const size = { stepsPerEpoch: 2, stepCount: 20 };
  assertRates(
    [0, 1, 2, 3, 4, 19].map((step) => rateAt(options, step, size)),
    [0.05, 0.1, 0.15, 0.2, 0.2, 0.2],
  );
  // Part of a step is none, but a warm-up has one at least.
  assertRates(
    [0, 1].map((step) => rateAt({ ...options, warmupEpochs: 0.1 }, step, size)),
    [0.2, 0.2],
  );
  assertRates(
    [0, 1, 2].map((step) => rateAt({ ...options, warmupEpochs: 0.8 }, step, size)),
    [0.1, 0.2, 0.2],
  );
});

// SequentialLR(SGD(lr=0.2), [LinearLR(start_factor=1/5, total_iters=4), CosineAnnealingLR(T_max=15)],
// milestones=[5]), PyTorch 2.15
const WARM_COSINE = [
  0.04000000000000001, 0.08000000000000002, 0.12000000000000002, 0.16000000000000003,
  0.20000000000000004, 0.2, 0.19781476007338059, 0.1913545457642601, 0.18090169943749476,
  0.16691306063588585, 0.15000000000000002, 0.13090169943749477, 0.11045284632676539,
  0.0895471536732347, 0.0690983005625053, 0.05000000000000004, 0.03308693936411422,
  0.01909830056250527, 0.008645454235739905, 0.002185239926619432,
];

test("a cosine after a warm-up is PyTorch's SequentialLR of LinearLR and CosineAnnealingLR", () => {
  const options = { learningRate: 0.2, schedule: { kind: 'cosine' }, warmupEpochs: 1 } as const;
  const size = { stepsPerEpoch: 5, stepCount: 20 };
  assertRates(
    WARM_COSINE.map((_, step) => rateAt(options, step, size)),
    WARM_COSINE,
  );
});

test('where a time limit ends the training first, the cosine still starts at the full rate and ends at zero', () => {
  const options = { learningRate: 0.2, schedule: { kind: 'cosine' }, warmupEpochs: 1 } as const;
  // At this pace 20 of 100 steps fit.
  const rates = WARM_COSINE.map((_, step) =>
    learningRateAt(options, {
      ...{ step, stepsPerEpoch: 5, stepCount: 100 },
      doneFraction: step / 20,
    }),
  );
  assertRates(rates, WARM_COSINE);
  const beyond = { step: 20, stepsPerEpoch: 5, stepCount: 100, doneFraction: 1.2 };
  assertRates([learningRateAt(options, beyond)], [0]);
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
  const size = { stepsPerEpoch: 4, stepCount: 20 };
  expected.forEach((rate, step) => {
    const actual = rateAt(options, step, size);
    assert.ok(Math.abs(actual / rate - 1) < 1e-9, `step ${step}: ${actual}`);
  });
  // OneCycleLR(SGD, max_lr=0.2, total_steps=10, pct_start=0, 0.05 and 0.99): a peak before the first step,
  // and one so late that the last step alone comes after it.
  for (const [riseFraction, rates] of [
    [0, [0.19510567120690886, 0.180901775830697, 0.1587786901151464, 0.130901975830697]],
    [0.05, [0.19863613579575087, 0.18794742333114842, 0.16772828624994549, 0.1401697817871271]],
    [0.99, [0.008000000000000007, 0.013918979501769985, 0.03094603637494711, 0.056981528940202086]],
  ] as const) {
    const own = { ...options, schedule: { kind: 'one-cycle', riseFraction } as const };
    const ten = { stepsPerEpoch: 10, stepCount: 10 };
    assertRates(
      [0, 1, 2, 3].map((step) => rateAt(own, step, ten)),
      rates,
    );
    assert.ok(Math.abs(rateAt(own, 9, ten) - 8e-7) < 1e-12);
  }
  // One step, and more steps than were foreseen, still have a rate.
  assert.equal(rateAt(options, 0, { stepsPerEpoch: 1, stepCount: 1 }), 0.2);
  assert.ok(Math.abs(rateAt(options, 24, size) - 8e-7) < 1e-12);
});
