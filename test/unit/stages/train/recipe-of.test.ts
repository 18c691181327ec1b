import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trainParameters } from '../../../../stages/train/parameters.ts';
import { recipeOf } from '../../../../stages/train/recipe-of.ts';

test('a schedule takes what belongs to it', () => {
  const parameters = trainParameters.parse({ architecture: 'alexnet', schedule: 'one-cycle' });
  assert.deepEqual(recipeOf(parameters).schedule, { kind: 'one-cycle', riseFraction: 0.3 });
  const cosine = recipeOf({ ...parameters, schedule: 'cosine', warmupEpochs: 1 });
  assert.deepEqual([cosine.schedule, cosine.warmupEpochs], [{ kind: 'cosine' }, 1]);
});
