import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Architecture } from '../../../src/models/network.ts';
import { buildNetwork } from '../../../src/models/zoo.ts';
import { estimateTrainingBytes, type MemoryPlan } from '../../../src/training/memory-estimate.ts';
import { memoryProblem } from '../../../src/training/memory-problem.ts';

/** Two images at a time with Adam and an average. */
function planOf(architecture: Architecture, imageSize: number): MemoryPlan {
  const network = buildNetwork({
    ...{ architecture, imageSize, variant: 'paper', widthMultiplier: 1, padding: 'torch' },
    ...{ batchNorm: 'standard', dropout: 0, classCount: 5 },
  });
  return {
    ...{ network, imageCount: 2, precision: 'float32', optimizer: 'adam', hasWeightAverage: true },
  };
}

const without = { hasWeightAverage: false } as const;
const sgd = { optimizer: 'sgd' } as const;

test('a network that fits with no images is told to be too large, with all that would help', () => {
  const plan = planOf('resnet50', 8);
  const needed = (change: Partial<MemoryPlan>): number =>
    estimateTrainingBytes({ ...plan, ...change });
  assert.equal(memoryProblem(plan, needed({})), null);
  const tooLittle = memoryProblem(plan, 1e9);
  assert.equal(
    tooLittle?.message,
    'resnet50 does not fit, whatever the images: its weights, gradients, what adam keeps, the average and the export take about 1.6 GB, and 1.0 GB are free',
  );
  assert.equal(tooLittle.hint, 'train a smaller network, or use a machine with more memory');
  assert.equal(
    memoryProblem(plan, needed(without))?.hint,
    'leave "averageDecay" out, or set "optimizer" to sgd, which keeps half of what adam does, or train a smaller network, or use a machine with more memory',
  );
  assert.match(
    memoryProblem(plan, needed({ ...without, ...sgd }))?.hint ?? '',
    /^leave "averageDecay" out and set "optimizer" to sgd, .* does, or train a smaller/,
  );
  const lean = { ...plan, ...without, ...sgd };
  assert.doesNotMatch(memoryProblem(lean, 1e9)?.hint ?? '', /averageDecay|optimizer/);
  assert.equal(memoryProblem(plan, 1e8)?.hint, 'use a machine with more memory');
});

test('images are told to be smaller only where a size fits, and the largest that does', () => {
  for (const [architecture, imageSize] of [
    ['resnet18', 512],
    ['alexnet', 384], // of which smaller images make the network smaller, too
  ] as const) {
    const at = (size: number): number => estimateTrainingBytes(planOf(architecture, size));
    const available = at(imageSize / 2);
    const { message = '', hint = '' } =
      memoryProblem(planOf(architecture, imageSize), available) ?? {};
    assert.match(message, new RegExp(`^2 images of ${imageSize} pixels at a time need`));
    const size = Number(/^use images of (\d+) pixels or less, or/.exec(hint)?.[1]);
    assert.ok(at(size) <= available && at(size + 1) > available, hint);
  }
});

test('a smaller recipe and smaller images are told together where both are needed', () => {
  const plan = planOf('resnet50', 512);
  const small = { ...planOf('resnet50', 64), ...without, ...sgd };
  const available = estimateTrainingBytes(small);
  assert.match(
    memoryProblem(plan, available)?.hint ?? '',
    /^leave "averageDecay" out and set "optimizer" .* does and use images of \d+ pixels or less, or /,
  );
});
