import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InterruptedError } from '../../../../src/diagnostics/errors.ts';
import { bootstrapInterval } from '../../../../src/numeric/bootstrap.ts';
import { createRandom } from '../../../../src/numeric/random.ts';
import {
  balancedAccuracy,
  confusionMatrix,
  quadraticWeightedKappa,
} from '../../../../src/metrics/confusion.ts';
import type { Prediction } from '../../../../stages/evaluate/predict.ts';
import { scorePredictions } from '../../../../stages/evaluate/score.ts';
import { LABELS, PREDICTED } from '../../../support/graded-predictions.ts';

const CLASSES = ['0', '1', '2', '3', '4'];
const BASE = { classes: CLASSES, split: 'test', topK: 1, scoreKind: 'logits' } as const;

const predictions: Prediction[] = LABELS.map((label, i) => ({
  imageId: `image-${i}`,
  label,
  scores: [Float32Array.from(CLASSES, (_, c) => (c === PREDICTED[i] ? 1 : 0))],
}));

test('intervals are those of the confusion matrix of every resample', async () => {
  const { signal } = new AbortController();
  const scored = await scorePredictions({
    ...BASE,
    predictions,
    signal,
    progress: () => undefined,
  });
  const statistics = {
    balancedAccuracyFraction: balancedAccuracy,
    quadraticWeightedKappa,
  };
  for (const [name, statistic] of Object.entries(statistics)) {
    const expected = bootstrapInterval({
      unitCount: LABELS.length,
      random: createRandom(0, `evaluate/${name}`),
      statistic: (units) => {
        const pick = (values: readonly number[]): number[] =>
          Array.from(units, (unit) => values[unit] ?? NaN);
        return statistic(confusionMatrix(pick(LABELS), pick(PREDICTED), CLASSES.length));
      },
    });
    assert.deepEqual(scored.values.find((value) => value.name === name)?.interval, expected);
  }
});

test('an abort is heard while many images are resampled', async () => {
  const many = Array.from({ length: 500 }, () => predictions).flat(); // 10^8 draws an interval
  const abort = new AbortController();
  const units = new Set<string>();
  setTimeout(() => abort.abort(), 1);
  const scored = scorePredictions({
    ...BASE,
    predictions: many,
    signal: abort.signal,
    progress: ({ unit }) => units.add(unit),
  });
  await assert.rejects(scored, InterruptedError);
  assert.deepEqual([...units], ['resamples']);
});
