import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trainParameters } from '../../../../stages/train/parameters.ts';
import { recipeWarnings } from '../../../../stages/train/recipe-problems.ts';
import { unusedWarnings } from '../../../../stages/train/unused-parameters.ts';

function problemsOf(parameters: Record<string, unknown>): string[] {
  const outcome = trainParameters.safeParse({ architecture: 'resnet18', ...parameters });
  return outcome.error?.issues.map(({ path, message }) => `${path.join('.')} ${message}`) ?? [];
}

test('parameters that contradict each other are refused at the one to change', () => {
  assert.deepEqual(problemsOf({ batchSize: 8, microBatchSize: 9 }), [
    'microBatchSize must be at most batchSize, which is 8',
  ]);
  assert.deepEqual(problemsOf({ batchSize: 8, microBatchSize: 8 }), []);
  assert.deepEqual(problemsOf({ optimizer: 'nesterov', momentum: 0 }), [
    'momentum must be more than 0 for optimizer nesterov, which looks ahead by it',
  ]);
  assert.deepEqual(problemsOf({ optimizer: 'sgd', momentum: 0 }), []);
  for (const milestones of [
    [150, 100],
    [100, 100],
  ]) {
    assert.deepEqual(problemsOf({ milestones }), [
      'milestones must be in ascending order, each once',
    ]);
  }
  assert.deepEqual(problemsOf({ milestones: [] }), []);
  assert.deepEqual(problemsOf({ schedule: 'one-cycle', warmupEpochs: 1 }), [
    'warmupEpochs must be 0 for schedule one-cycle, which has a rise of its own, riseFraction',
  ]);
  // 20 convolutions, three of them on shortcuts, and the dense layer.
  assert.deepEqual(problemsOf({ frozenLayerCount: 21 }), [
    'frozenLayerCount must be at most 20: resnet18 has 21 layers with weights, and the last dense one must learn',
  ]);
  assert.deepEqual(problemsOf({ frozenLayerCount: 20 }), []);
  assert.equal(problemsOf({ architecture: 'alexnet', frozenLayerCount: 8 }).length, 1);
});

test('what is hardly meant is told, what is usual is not', () => {
  const warningsOf = (parameters: Record<string, unknown>): string[] =>
    recipeWarnings(trainParameters.parse({ architecture: 'resnet18', ...parameters }));
  assert.deepEqual(warningsOf({ epochs: 5, warmupEpochs: 4.5, headEpochs: 4 }), []);
  assert.deepEqual(warningsOf({ epochs: 5, warmupEpochs: 5, headEpochs: 6 }), [
    '"warmupEpochs" is 5 of 5 epochs: the rate rises to the end and the schedule never begins',
    '"headEpochs" is 6 of 5 epochs: the last dense layer alone learns',
  ]);
  assert.match(warningsOf({ batchSize: 1 }).join(), /^"batchSize" is 1: batch norm/);
  assert.deepEqual(warningsOf({ batchSize: 1, batchNorm: 'none' }), []);
  assert.deepEqual(warningsOf({ batchSize: 1, architecture: 'alexnet' }), []);
  assert.deepEqual(warningsOf({ variant: 'torchvision', widthMultiplier: 0.5 }), [
    '"variant" is for alexnet; resnet18 is the same with torchvision',
    '"widthMultiplier" is for mobilenet-v2; resnet18 keeps its width with 0.5',
  ]);
  assert.deepEqual(warningsOf({ architecture: 'mobilenet-v2', widthMultiplier: 0.5 }), []);
  assert.deepEqual(warningsOf({ architecture: 'alexnet', variant: 'torchvision' }), []);
});

test('parameters of another optimizer or schedule than the chosen ones are told, defaults are not', () => {
  const warningsOf = (parameters: Record<string, unknown>): string[] =>
    unusedWarnings(trainParameters.parse({ architecture: 'resnet18', ...parameters }));
  const sgd = { optimizer: 'nesterov', momentum: 0.8 };
  const adam = { optimizer: 'adamw', beta1: 0.8, beta2: 0.99, epsilon: 1e-6 };
  const steps = { schedule: 'steps', milestones: [3, 5], gamma: 0.5 };
  const oneCycle = { schedule: 'one-cycle', riseFraction: 0.2 };
  assert.deepEqual(warningsOf({ ...sgd, ...steps }), []);
  assert.deepEqual(warningsOf({ ...adam, ...oneCycle }), []);
  assert.deepEqual(
    warningsOf({ optimizer: 'adam', schedule: 'cosine', milestones: [100, 150] }),
    [],
  );
  assert.deepEqual(warningsOf({ ...adam, momentum: 0.8, optimizer: 'sgd' }), [
    '"beta1" has no effect: it is for optimizer adam or adamw',
    '"beta2" has no effect: it is for optimizer adam or adamw',
    '"epsilon" has no effect: it is for optimizer adam or adamw',
  ]);
  assert.deepEqual(warningsOf({ ...steps, ...oneCycle, ...sgd, optimizer: 'adam' }), [
    '"momentum" has no effect: it is for optimizer sgd or nesterov',
    '"milestones" has no effect: it is for schedule steps',
    '"gamma" has no effect: it is for schedule steps',
  ]);
  assert.deepEqual(warningsOf({ riseFraction: 0.2 }), [
    '"riseFraction" has no effect: it is for schedule one-cycle',
  ]);
});
