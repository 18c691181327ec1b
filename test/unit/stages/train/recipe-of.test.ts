import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trainParameters } from '../../../../stages/train/parameters.ts';
import { recipeOf } from '../../../../stages/train/recipe-of.ts';

test('a warm-up beside the rise of one-cycle is refused', () => {
  const parameters = trainParameters.parse({ architecture: 'alexnet', schedule: 'one-cycle' });
  assert.deepEqual(recipeOf(parameters).schedule, { kind: 'one-cycle', riseFraction: 0.3 });
  assert.throws(() => recipeOf({ ...parameters, warmupEpochs: 1 }), {
    code: 'train/two-warm-ups',
    message: /riseFraction.*warmupEpochs 1/,
  });
  const cosine = recipeOf({ ...parameters, schedule: 'cosine', warmupEpochs: 1 });
  assert.equal(cosine.warmupEpochs, 1);
});
