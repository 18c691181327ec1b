import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StageError } from '../../../src/diagnostics/errors.ts';
import { buildNetwork, defaultDropout } from '../../../src/models/zoo.ts';
import type { Architecture } from '../../../src/models/network.ts';
import {
  estimateStepBytes,
  estimateTrainingBytes,
  largestImageCount,
  type MemoryPlan,
} from '../../../src/training/memory-estimate.ts';
import type { Precision } from '../../../src/training/precision.ts';
import { requireMemory } from '../../../src/training/require-memory.ts';

function plan(architecture: Architecture, imageCount = 32): MemoryPlan {
  return {
    network: buildNetwork({
      ...{ architecture, variant: 'torchvision', widthMultiplier: 1, padding: 'torch' },
      ...{ batchNorm: 'standard', dropout: defaultDropout(architecture), classCount: 1000 },
      imageSize: 224,
    }),
    ...{ imageCount, precision: 'float32', optimizer: 'sgd', hasWeightAverage: false },
  };
}

test('it grows with the images by their activations and falls with their size', () => {
  const of = (imageCount: number) => estimateTrainingBytes(plan('resnet50', imageCount));
  const perImage = (of(64) - of(32)) / 32;
  // ResNet-50 at 224 px makes 11.1 million values in convolutions, each kept twice at most.
  assert.ok(perImage > 4 * 11.1e6 && perImage < 3 * 4 * 11.1e6, String(perImage));
  const alexnet = (imageCount: number, precision: Precision): number =>
    estimateTrainingBytes({ ...plan('alexnet', imageCount), precision });
  const perExactImage = (alexnet(64, 'float32') - alexnet(32, 'float32')) / 32;
  const half = alexnet(32, 'bfloat16');
  assert.ok(Math.abs(alexnet(32, 'float32') - half - (32 * perExactImage) / 2) < 1e6);
});

test('what the optimizer keeps counts: two slots of Adam, one of SGD', () => {
  const sgd = plan('alexnet');
  const adam = { ...sgd, optimizer: 'adamw' as const };
  const difference = estimateTrainingBytes(adam) - estimateTrainingBytes(sgd);
  assert.equal(difference, 4 * 61_100_840); // torchvision's count of AlexNet's parameters
});

/** Peak of resident memory of whole train stages (VmHWM of their process), two epochs each. */
const MEASURED = [
  {
    architecture: 'alexnet',
    imageSize: 224,
    imageCount: 6,
    optimizer: 'adamw',
    average: true,
    peak: 2.77e9,
  },
  {
    architecture: 'alexnet',
    imageSize: 224,
    imageCount: 64,
    optimizer: 'sgd',
    average: false,
    peak: 2.65e9,
  },
  {
    architecture: 'alexnet',
    imageSize: 384,
    imageCount: 6,
    optimizer: 'adamw',
    average: true,
    peak: 7.46e9,
  },
  {
    architecture: 'resnet50',
    imageSize: 224,
    imageCount: 16,
    optimizer: 'sgd',
    average: false,
    peak: 2.65e9,
  },
  {
    architecture: 'resnet18',
    imageSize: 64,
    imageCount: 16,
    optimizer: 'adam',
    average: false,
    peak: 0.97e9,
  },
  {
    architecture: 'mobilenet-v2',
    imageSize: 224,
    imageCount: 32,
    optimizer: 'adamw',
    average: true,
    peak: 2.43e9,
  },
] as const;

for (const { architecture, imageSize, imageCount, optimizer, average, peak } of MEASURED) {
  test(`${architecture}, ${imageCount} images of ${imageSize} px, ${optimizer}: within 10 % of what was measured`, () => {
    const network = buildNetwork({
      ...{ architecture, imageSize, variant: 'paper', widthMultiplier: 1, padding: 'torch' },
      ...{ batchNorm: 'standard', dropout: defaultDropout(architecture), classCount: 3 },
    });
    const estimate = estimateTrainingBytes({
      ...{ network, imageCount, optimizer, hasWeightAverage: average, precision: 'float32' },
    });
    assert.ok(Math.abs(estimate / peak - 1) < 0.1, `${estimate} and ${peak}`);
  });
}

test('bare steps hold less than a whole training', () => {
  for (const architecture of ['alexnet', 'resnet50', 'mobilenet-v2'] as const) {
    const of = plan(architecture);
    assert.ok(estimateStepBytes(of) < estimateTrainingBytes(of));
  }
});

test('a training that cannot fit is told how many images would', () => {
  const large = plan('resnet50', 1024);
  const available = 8e9;
  assert.throws(
    () => {
      requireMemory(large, available);
    },
    (error) => {
      assert.ok(error instanceof StageError);
      assert.match(error.message, /1024 images of 224 pixels .* resnet50, and 8\.0 GB are free/);
      const advised = Number(/"microBatchSize" to (\d+)/.exec(error.hint ?? '')?.[1]);
      assert.ok(estimateTrainingBytes({ ...large, imageCount: advised }) <= available);
      assert.ok(estimateTrainingBytes({ ...large, imageCount: advised + 1 }) > available);
      return true;
    },
  );
  assert.equal(largestImageCount(large, 1e8), null);
  assert.throws(() => {
    requireMemory(large, 1e8);
  }, /resnet50 does not fit/);
  requireMemory(plan('resnet50', 2), available);
});
