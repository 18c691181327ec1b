import assert from 'node:assert/strict';
import { test } from 'node:test';
import { confusionMatrix, quadraticWeightedKappa } from '../../../src/metrics/confusion.ts';
import { InterruptedError } from '../../../src/diagnostics/errors.ts';
import {
  bootstrapInterval,
  interruptibleBootstrapInterval,
} from '../../../src/numeric/bootstrap.ts';
import { createRandom } from '../../../src/numeric/random.ts';
import { LABELS, PREDICTED } from '../../support/graded-predictions.ts';

const pick = (values: readonly number[], units: Uint32Array): number[] =>
  Array.from(units, (unit) => values[unit] ?? NaN);

test("the interval of kappa comes near statsmodels' asymptotic one", () => {
  const interval = bootstrapInterval({
    unitCount: LABELS.length,
    random: createRandom(1, 'test'),
    statistic: (units) =>
      quadraticWeightedKappa(confusionMatrix(pick(LABELS, units), pick(PREDICTED, units), 5)),
  });
  assert.ok(interval !== null);
  // cohens_kappa(matrix, wt='quadratic'): kappa_low, kappa_upp; its standard error is 0.074.
  assert.ok(Math.abs(interval[0] - 0.47630256771171847) < 0.03, String(interval[0]));
  assert.ok(Math.abs(interval[1] - 0.7669289946628686) < 0.03, String(interval[1]));
});

test('the same seed gives the same interval, another seed another', () => {
  const values = [1, 2, 3, 4, 10];
  const run = (seed: number): [number, number] | null =>
    bootstrapInterval({
      unitCount: values.length,
      random: createRandom(seed, 'test'),
      statistic: (units) => pick(values, units).reduce((sum, value) => sum + value, 0),
      resampleCount: 50,
    });
  assert.deepEqual(run(1), run(1));
  assert.notDeepEqual(run(1), run(2));
});

test('equal values have an interval of no width', () => {
  const interval = bootstrapInterval({
    unitCount: 4,
    random: createRandom(0, 'test'),
    statistic: () => 7,
  });
  assert.deepEqual(interval, [7, 7]);
});

test('one unit, or a statistic mostly undefined, has no interval', () => {
  const random = createRandom(0, 'test');
  assert.equal(bootstrapInterval({ unitCount: 1, random, statistic: () => 1 }), null);
  assert.equal(bootstrapInterval({ unitCount: 9, random, statistic: () => null }), null);
});

const meanOf = (units: Uint32Array): number =>
  units.reduce((sum, unit) => sum + unit, 0) / units.length;

test('an interval that can be interrupted is the same one', async () => {
  const options = { unitCount: 30, statistic: meanOf };
  const { signal } = new AbortController();
  assert.deepEqual(
    await interruptibleBootstrapInterval({ ...options, random: createRandom(3, 'test'), signal }),
    bootstrapInterval({ ...options, random: createRandom(3, 'test') }),
  );
});

test('a long bootstrap tells how far it is, and hears an abort', async () => {
  const abort = new AbortController();
  setTimeout(() => abort.abort(), 1);
  let statisticCount = 0;
  const seen: number[] = [];
  const interval = interruptibleBootstrapInterval({
    unitCount: 2,
    resampleCount: 1e9,
    random: createRandom(0, 'test'),
    statistic: (units) => {
      statisticCount += 1;
      return meanOf(units);
    },
    signal: abort.signal,
    onProgress: (done) => seen.push(done),
  });
  await assert.rejects(interval, InterruptedError);
  assert.equal(seen.at(-1), statisticCount);
});
