import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trainParameters } from '../../../stages/train/parameters.ts';
import {
  requireFinite,
  requireSoundLoss,
  requireSoundValidation,
} from '../../../src/training/divergence.ts';
import type { Recipe } from '../../../src/training/recipe.ts';

const place = { epoch: 3, step: 11, stepCount: 40, learningRate: 0.5 };

function recipeWith(parameters: Record<string, unknown>): Recipe {
  // The fields that a hint looks at have the parameters' names.
  return trainParameters.parse({ architecture: 'alexnet', ...parameters }) as unknown as Recipe;
}

test('a loss that is no number or has exploded stops with step, rate and what may help', () => {
  requireSoundLoss(9999, place, recipeWith({}));
  assert.throws(() => requireSoundLoss(NaN, place, recipeWith({})), {
    code: 'training/diverged',
    message: 'the loss became NaN in epoch 3, step 12 of 40, at learning rate 0.500',
    hint: 'lower "learningRate" (a tenth is a good next try) or raise "warmupEpochs"',
  });
  const recipe = recipeWith({
    ...{ warmupEpochs: 2, headLearningRateFactor: 10, classWeights: 'balanced' },
  });
  assert.throws(() => requireSoundLoss(123456, place, recipe), {
    message: 'the loss exploded to 1.23e+5 in epoch 3, step 12 of 40, at learning rate 0.500',
    hint: 'lower "learningRate" (a tenth is a good next try) or lower "headLearningRateFactor" or set "classWeights" to square-root',
  });
});

test('a validation loss that is no number or has exploded stops, but for young statistics', () => {
  const recipe = recipeWith({});
  const late = { ...place, stepsDone: 50 };
  requireSoundValidation(9999, late, recipe);
  requireSoundValidation(1e9, { ...place, stepsDone: 49 }, recipe);
  for (const [loss, what] of [
    [NaN, 'became NaN'],
    [Infinity, 'became Infinity'],
    [1e9, 'exploded to 1.00e+9'],
  ] as const) {
    assert.throws(() => requireSoundValidation(loss, late, recipe), {
      code: 'training/diverged',
      message: `the validation loss ${what} after epoch 3, at learning rate 0.500`,
    });
  }
  assert.throws(() => requireSoundValidation(Infinity, { ...place, stepsDone: 1 }, recipe));
});

test('where nothing is validated weights that are no numbers stop', () => {
  const recipe = recipeWith({});
  const weights = new Map([['a.weight', Float32Array.of(1, -3e38)]]);
  requireFinite(weights, place, recipe);
  weights.set('b.bias', Float32Array.of(0, NaN));
  assert.throws(() => requireFinite(weights, place, recipe), {
    code: 'training/diverged',
    message: 'b.bias is not finite any more after epoch 3, at learning rate 0.500',
    hint: /lower "learningRate"/,
  });
});
