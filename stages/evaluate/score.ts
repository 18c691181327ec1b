import {
  balancedAccuracy,
  balancedAccuracyOfUnits,
  classFigures,
  confusionMatrix,
  denseCounts,
  quadraticWeightedKappa,
  quadraticWeightedKappaOfUnits,
  type ConfusionMatrix,
} from '../../src/metrics/confusion.ts';
import { wilsonInterval } from '../../src/metrics/intervals.ts';
import type { ClassifierSignature } from '../../src/onnx/model-signature.ts';
import { argmax, isInTopK } from '../../src/metrics/ranking.ts';
import { noiseOf, sqnrDbOf } from '../../src/metrics/sqnr.ts';
import { interruptibleBootstrapInterval } from '../../src/numeric/bootstrap.ts';
import { createRandom } from '../../src/numeric/random.ts';
import type { ProgressUpdate } from '../../src/stage/definition.ts';
import type { MetricsFile, MetricValue } from '../../src/stage/metrics-file.ts';
import type { Prediction } from './predict.ts';

export interface ScoreOptions {
  readonly predictions: readonly Prediction[];
  readonly classes: readonly string[];
  readonly split: string;
  readonly topK: number;
  readonly scoreKind: ClassifierSignature['scores'];
  readonly signal: AbortSignal;
  progress(update: ProgressUpdate): void;
}

/** Fixed: an interval must be the same each time the same predictions are scored. */
const BOOTSTRAP_SEED = 0;

/**
 * Every figure of the evaluation; two scores an image mean that a reference was given.
 * @throws InterruptedError
 */
export async function scorePredictions(
  options: ScoreOptions,
): Promise<Omit<MetricsFile, 'format'>> {
  const { predictions, classes, topK } = options;
  const labels = predictions.map(({ label }) => label);
  const predicted = predictions.map(({ scores }) => argmax(scores[0]!)); // the scored model is first
  const matrix = confusionMatrix(labels, predicted, classes.length);
  const notes: string[] = [];
  const unansweredCount = countWhere(predicted, (answer) => Number.isNaN(answer));
  if (unansweredCount > 0) {
    notes.push(
      `the scores are not finite on ${unansweredCount} of ${labels.length} images, which hold NaN: they count as wrong and agree with nothing; quadraticWeightedKappa leaves them out`,
    );
  }

  const values = [
    fractionMetric(
      'top1Fraction',
      countWhere(predicted, (p, i) => p === labels[i]),
      labels.length,
    ),
  ];
  if (topK > 1) {
    const hits = countWhere(predictions, ({ scores, label }) => isInTopK(scores[0]!, label, topK));
    values.push(fractionMetric(`top${topK}Fraction`, hits, labels.length));
    if (topK >= classes.length) {
      notes.push(`top-${topK} of ${classes.length} classes is always 1`);
    }
  }
  const images = { labels, predicted, classCount: classes.length };
  for (const { name, unit, statistic, statisticOfUnits } of MATRIX_METRICS) {
    const value = statistic(matrix);
    if (value === null) {
      notes.push(`${name} is not defined: every label and prediction is one and the same class`);
      continue;
    }
    const interval = await interruptibleBootstrapInterval({
      unitCount: labels.length,
      random: createRandom(BOOTSTRAP_SEED, `evaluate/${name}`),
      statistic: (units) => statisticOfUnits(images, units),
      signal: options.signal,
      onProgress: (done, total) => {
        options.progress({ done, total, unit: 'resamples', label: `interval of ${name}` });
      },
    });
    const common = { name, value, unit, direction: 'higher-is-better' as const };
    values.push(interval === null ? common : { ...common, interval });
  }
  values.push(...referenceMetrics(predictions, predicted, notes));
  values.push({
    name: 'imageCount',
    value: predictions.length,
    unit: 'images',
    direction: 'neutral',
  });
  if (options.scoreKind === 'probabilities') {
    notes.push('the model ends in a softmax: its outputs are taken as probabilities');
  }
  return { values, notes, details: detailsOf(matrix, options) };
}

/** Resamples are many: their statistic is taken from the images, without a matrix of each. */
const MATRIX_METRICS = [
  {
    name: 'balancedAccuracyFraction',
    unit: 'fraction',
    statistic: balancedAccuracy,
    statisticOfUnits: balancedAccuracyOfUnits,
  },
  {
    name: 'quadraticWeightedKappa',
    unit: '',
    statistic: quadraticWeightedKappa,
    statisticOfUnits: quadraticWeightedKappaOfUnits,
  },
] as const;

function referenceMetrics(
  predictions: readonly Prediction[],
  predicted: readonly number[],
  notes: string[],
): MetricValue[] {
  const pooled = { signal: 0, noise: 0 };
  let comparedCount = 0;
  let agreementCount = 0;
  let measuredCount = 0;
  let notFiniteCount = 0;
  for (const [i, { scores }] of predictions.entries()) {
    const [own, reference] = scores;
    if (own === undefined || reference === undefined) continue;
    comparedCount += 1;
    if (argmax(reference) === predicted[i]) agreementCount += 1;
    const sums = noiseOf(reference, own);
    if (sums === null) continue;
    measuredCount += 1;
    pooled.signal += sums.signal;
    pooled.noise += sums.noise;
    if (sqnrDbOf(sums) === -Infinity) notFiniteCount += 1;
  }
  if (comparedCount === 0) return [];
  const values = [fractionMetric('agreementFraction', agreementCount, comparedCount)];
  const sqnrDb = sqnrDbOf(pooled);
  if (measuredCount < comparedCount) {
    notes.push(
      `${comparedCount - measuredCount} of ${comparedCount} images have reference scores that are not finite: logitsSqnrDb leaves them out`,
    );
  }
  if (sqnrDb === -Infinity) {
    notes.push(
      `there is no logitsSqnrDb: it is not finite on ${notFiniteCount} of ${measuredCount} images, whose scores are not finite, or whose reference gives only 0`,
    );
  } else if (sqnrDb !== null) {
    values.push({
      name: 'logitsSqnrDb',
      value: sqnrDb,
      unit: 'dB',
      direction: 'higher-is-better',
    });
  } else if (measuredCount > 0) {
    notes.push('there is no logitsSqnrDb: the scores equal the reference');
  }
  return values;
}

/**
 * Up to so many classes the file holds every pair of them, as `counts[true class][predicted class]`:
 * 40,000 numbers, about a megabyte. Above it holds the `cells` that are not zero, and figures of the
 * classes that have images or predictions, for all pairs of 3,000 classes are 112 MB.
 */
const MOST_DENSE_CLASSES = 200;

function detailsOf(matrix: ConfusionMatrix, options: ScoreOptions): MetricsFile['details'] {
  const isDense = matrix.classCount <= MOST_DENSE_CLASSES;
  const seen = new Set(matrix.cells.map(({ predicted }) => predicted));
  const perClass = classFigures(matrix).flatMap((figures, index) =>
    isDense || figures.support > 0 || seen.has(index)
      ? [{ class: options.classes[index] ?? '', ...figures }]
      : [],
  );
  return {
    split: options.split,
    classes: [...options.classes],
    perClass,
    confusionMatrix: isDense
      ? { rows: 'true class', columns: 'predicted class', counts: denseCounts(matrix) }
      : {
          cell: ['index of the true class', 'index of the predicted class', 'images'],
          cells: matrix.cells.map(({ label, predicted, count }) => [label, predicted, count]),
        },
    intervals:
      'top-k and agreement: Wilson 95 %; balanced accuracy and kappa: percentile bootstrap 95 % over images, 2000 resamples',
  };
}

function fractionMetric(name: string, count: number, total: number): MetricValue {
  const interval = wilsonInterval(count, total);
  return {
    name,
    value: count / total,
    unit: 'fraction',
    direction: 'higher-is-better',
    ...(interval === null ? {} : { interval }),
  };
}

function countWhere<T>(items: readonly T[], holds: (item: T, index: number) => boolean): number {
  return items.reduce((count, item, index) => count + (holds(item, index) ? 1 : 0), 0);
}
