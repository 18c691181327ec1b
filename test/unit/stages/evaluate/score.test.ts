import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { InterruptedError } from '../../../../src/diagnostics/errors.ts';
import { bootstrapInterval } from '../../../../src/numeric/bootstrap.ts';
import { createRandom } from '../../../../src/numeric/random.ts';
import {
  balancedAccuracy,
  confusionMatrix,
  quadraticWeightedKappa,
} from '../../../../src/metrics/confusion.ts';
import { readMetricsFile, writeMetricsFile } from '../../../../src/stage/metrics-file.ts';
import type { Prediction } from '../../../../stages/evaluate/predict.ts';
import { scorePredictions } from '../../../../stages/evaluate/score.ts';
import { LABELS, PREDICTED } from '../../../support/graded-predictions.ts';
import { temporaryFolder } from '../../../support/stage-context.ts';

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

/** One image of each label, given the class `predicted`. */
function answers(classCount: number, pairs: readonly (readonly [number, number])[]): Prediction[] {
  return pairs.map(([label, predicted], i) => {
    const scores = new Float32Array(classCount);
    scores[predicted] = 1;
    return { imageId: `image-${i}`, label, scores: [scores] };
  });
}

async function detailsOf(classCount: number, pairs: readonly (readonly [number, number])[]) {
  const { details } = await scorePredictions({
    ...BASE,
    classes: Array.from({ length: classCount }, (_, c) => `c${c}`),
    predictions: answers(classCount, pairs),
    signal: new AbortController().signal,
    progress: () => undefined,
  });
  return details as {
    confusionMatrix: { counts?: number[][]; cells?: number[][] };
    perClass: { class: string }[];
  };
}

test('up to 200 classes every pair is written, above those that have images', async () => {
  const pairs = [
    [0, 5],
    [0, 5],
    [199, 199],
  ] as const;
  const few = await detailsOf(200, pairs);
  assert.equal(few.confusionMatrix.counts!.length, 200);
  assert.equal(few.confusionMatrix.counts![0]![5], 2);
  assert.equal(few.perClass.length, 200);
  const many = await detailsOf(201, pairs);
  assert.equal(many.confusionMatrix.counts, undefined);
  assert.deepEqual(many.confusionMatrix.cells, [
    [0, 5, 2],
    [199, 199, 1],
  ]);
  assert.deepEqual(
    many.perClass.map((figures) => figures.class),
    ['c0', 'c5', 'c199'],
  );
});

test('21,841 classes are scored in seconds and written in a small file', async (t) => {
  const classCount = 21_841;
  const pairs = Array.from({ length: 20 }, (_, i) => [1000 * i, 1000 * i + (i % 2)] as const);
  const started = performance.now();
  const scored = await scorePredictions({
    ...BASE,
    classes: Array.from({ length: classCount }, (_, c) => `c${c}`),
    predictions: answers(classCount, pairs),
    signal: new AbortController().signal,
    progress: () => undefined,
  });
  const path = join(await temporaryFolder(t), 'metrics.json');
  await writeMetricsFile(path, scored);
  assert.ok(performance.now() - started < 30_000); // half a second on an idle machine
  assert.ok((await stat(path)).size < 1e6); // the names of the classes are most of it
  const { values } = await readMetricsFile(path);
  assert.equal(values.find(({ name }) => name === 'balancedAccuracyFraction')?.value, 0.5);
});
