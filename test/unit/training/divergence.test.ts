import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trainParameters } from '../../../stages/train/parameters.ts';
import { requireSoundLoss, requireSoundValidation } from '../../../src/training/divergence.ts';
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

test('a validation loss that is no number stops, an infinite one too', () => {
  requireSoundValidation(1e9, place, recipeWith({}));
  for (const loss of [NaN, Infinity]) {
    assert.throws(() => requireSoundValidation(loss, place, recipeWith({})), {
      code: 'training/diverged',
      message: /^the validation loss became (NaN|Infinity) after epoch 3, at learning rate 0\.500$/,
    });
  }
});
