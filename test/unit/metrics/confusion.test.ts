import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  balancedAccuracy,
  balancedAccuracyOfUnits,
  classFigures,
  confusionMatrix,
  denseCounts,
  quadraticWeightedKappa,
  quadraticWeightedKappaOfUnits,
  type ConfusionMatrix,
} from '../../../src/metrics/confusion.ts';
import { createRandom } from '../../../src/numeric/random.ts';
import { LABELS, PREDICTED } from '../../support/graded-predictions.ts';

function assertClose(actual: number | null, expected: number): void {
  assert.ok(actual !== null && Math.abs(actual - expected) < 1e-12, `${actual} is not ${expected}`);
}

/** The matrix whose counts by [true class][predicted class] these are. */
function matrixOf(counts: readonly (readonly number[])[]): ConfusionMatrix {
  const images = counts.flatMap((row, label) =>
    row.flatMap((count, predicted) => new Array<[number, number]>(count).fill([label, predicted])),
  );
  return confusionMatrix(
    images.map(([label]) => label),
    images.map(([, predicted]) => predicted),
    counts.length,
  );
}

// scikit-learn 1.9.1: confusion_matrix(LABELS, PREDICTED).
const MATRIX = [
  [19, 3, 4, 4, 0],
  [4, 11, 3, 2, 0],
  [3, 3, 17, 4, 0],
  [0, 3, 0, 16, 0],
  [0, 1, 2, 1, 3],
];

test('the confusion matrix has true classes in rows', () => {
  assert.deepEqual(denseCounts(confusionMatrix(LABELS, PREDICTED, 5)), MATRIX);
  assert.deepEqual(confusionMatrix([0, 1, 0], [1, 0, 1], 2), {
    classCount: 2,
    cells: [
      { label: 0, predicted: 1, count: 2 },
      { label: 1, predicted: 0, count: 1 },
    ],
    supports: [2, 1],
  });
});

test('a class outside the matrix is a bug', () => {
  assert.throws(() => confusionMatrix([2], [0], 2), /class 2 or 0/);
  assert.throws(() => confusionMatrix([0], [2], 2), /class 0 or 2/);
  assert.throws(() => confusionMatrix([NaN], [0], 2), /class NaN or 0/);
});

test('precision, recall, F1 and support agree with scikit-learn', () => {
  // precision_recall_fscore_support(LABELS, PREDICTED, zero_division=0)
  const precision = [
    0.7307692307692307, 0.5238095238095238, 0.6538461538461539, 0.5925925925925926, 1,
  ];
  const recall = [
    0.6333333333333333, 0.55, 0.6296296296296297, 0.8421052631578947, 0.42857142857142855,
  ];
  const f1 = [0.6785714285714286, 0.5365853658536586, 0.6415094339622641, 0.6956521739130435, 0.6];
  const figures = classFigures(matrixOf(MATRIX));
  assert.deepEqual(
    figures.map(({ support }) => support),
    [30, 20, 27, 19, 7],
  );
  for (const [i, figure] of figures.entries()) {
    assertClose(figure.precisionFraction, precision[i] ?? NaN);
    assertClose(figure.recallFraction, recall[i] ?? NaN);
    assertClose(figure.f1Fraction, f1[i] ?? NaN);
  }
});

test('kappa and balanced accuracy agree with scikit-learn', () => {
  // cohen_kappa_score(weights='quadratic'), balanced_accuracy_score
  assertClose(quadraticWeightedKappa(matrixOf(MATRIX)), 0.6216157811872935);
  assertClose(balancedAccuracy(matrixOf(MATRIX)), 0.6167279309384572);
});

test('a class without images or predictions counts 0 per class and not in the balance', () => {
  // scikit-learn with labels=range(4) on [0,0,1,1,3,3,3], [0,1,1,1,3,0,3]
  const matrix = confusionMatrix([0, 0, 1, 1, 3, 3, 3], [0, 1, 1, 1, 3, 0, 3], 4);
  assertClose(quadraticWeightedKappa(matrix), 0.5394736842105263);
  assertClose(balancedAccuracy(matrix), 0.7222222222222222);
  assert.deepEqual(classFigures(matrix)[2], {
    precisionFraction: 0,
    recallFraction: 0,
    f1Fraction: 0,
    support: 0,
  });
});

test('kappa of two classes, worked by hand', () => {
  // o = 1/4 off the diagonal, margins 1/2 and 1/2 by 3/4 and 1/4: e = 1/2·1/4 + 1/2·3/4 = 1/2.
  assertClose(
    quadraticWeightedKappa(
      matrixOf([
        [2, 0],
        [1, 1],
      ]),
    ),
    0.5,
  );
  assertClose(
    quadraticWeightedKappa(
      matrixOf([
        [0, 2],
        [2, 0],
      ]),
    ),
    -1,
  );
});

test('kappa is not defined when one class is all there is', () => {
  assert.equal(
    quadraticWeightedKappa(
      matrixOf([
        [5, 0],
        [0, 0],
      ]),
    ),
    null,
  );
  assert.equal(quadraticWeightedKappa(matrixOf([[5]])), null);
  assert.equal(
    balancedAccuracy(
      matrixOf([
        [0, 0],
        [0, 0],
      ]),
    ),
    null,
  );
});

/** Cohen's definition, cell by cell. */
function kappaByDefinition(matrix: readonly (readonly number[])[]): number | null {
  const cells = matrix.flatMap((row, i) => row.map((count, j) => ({ i, j, count })));
  const countOf = (holds: (cell: { i: number; j: number }) => boolean): number =>
    cells.filter(holds).reduce((sum, { count }) => sum + count, 0);
  let observed = 0;
  let expected = 0;
  for (const { i, j, count } of cells) {
    observed += (i - j) ** 2 * count;
    expected += (i - j) ** 2 * countOf((cell) => cell.i === i) * countOf((cell) => cell.j === j);
  }
  return expected === 0 ? null : 1 - (observed * countOf(() => true)) / expected;
}

test('figures of drawn images are those of their matrix, absent classes or not', () => {
  const random = createRandom(0, 'test');
  const seen = { undefined: 0, absent: 0 };
  for (let round = 0; round < 200; round += 1) {
    const classCount = 1 + random.integer(7);
    const usedCount = 1 + random.integer(classCount); // the last classes are absent
    const first = random.integer(classCount - usedCount + 1);
    const draw = (count: number): number[] =>
      Array.from({ length: count }, () => first + random.integer(usedCount));
    const imageCount = 1 + random.integer(12);
    const images = { labels: draw(imageCount), predicted: draw(imageCount), classCount };
    const units = Uint32Array.from({ length: imageCount }, () => random.integer(imageCount));
    const pick = (values: readonly number[]): number[] =>
      Array.from(units, (unit) => values[unit] ?? NaN);
    const matrix = confusionMatrix(pick(images.labels), pick(images.predicted), classCount);

    const kappa = kappaByDefinition(denseCounts(matrix));
    assert.equal(quadraticWeightedKappaOfUnits(images, units), kappa);
    assert.equal(quadraticWeightedKappa(matrix), kappa);
    const recalls = classFigures(matrix).filter(({ support }) => support > 0);
    const mean = recalls.reduce((sum, { recallFraction }) => sum + recallFraction, 0);
    assertClose(balancedAccuracyOfUnits(images, units), mean / recalls.length);
    assertClose(balancedAccuracy(matrix), mean / recalls.length);
    if (kappa === null) seen.undefined += 1;
    if (recalls.length < classCount) seen.absent += 1;
  }
  assert.ok(seen.undefined > 10 && seen.absent > 10, JSON.stringify(seen));
});

test('figures of drawn images take no matrix: a million classes', () => {
  // Labels 0 and 999,999 in equal parts, one of each four confused: kappa of two classes, as
  // every weight is 999,999² or 0. Observed 1/2 of the weight, expected 1/2 too.
  const images = { labels: [0, 0, 999_999, 999_999], predicted: [0, 999_999, 0, 999_999] };
  const units = Uint32Array.of(0, 1, 2, 3);
  const classCount = 1_000_000; // a matrix of 10^12 counts
  assert.equal(quadraticWeightedKappaOfUnits({ ...images, classCount }, units), 0);
  assert.equal(balancedAccuracyOfUnits({ ...images, classCount }, units), 0.5);
});

test('21,841 classes take as much room as there are images', () => {
  const classCount = 21_841;
  const matrix = confusionMatrix([0, 21_840, 21_840, 7], [0, 21_840, 0, 7], classCount);
  assert.deepEqual(matrix.cells, [
    { label: 0, predicted: 0, count: 1 },
    { label: 7, predicted: 7, count: 1 },
    { label: 21_840, predicted: 0, count: 1 },
    { label: 21_840, predicted: 21_840, count: 1 },
  ]);
  assertClose(balancedAccuracy(matrix), (1 + 1 + 0.5) / 3);
  assert.equal(classFigures(matrix)[21_840]!.recallFraction, 0.5);
  assert.equal(classFigures(matrix)[0]!.precisionFraction, 0.5);
});

test('an image without an answer is a miss of its class and of no other', () => {
  const images = { labels: [0, 0, 1, 1], predicted: [0, NaN, 1, 1], classCount: 2 };
  const matrix = confusionMatrix(images.labels, images.predicted, 2);
  assert.deepEqual(denseCounts(matrix), [
    [1, 0],
    [0, 2],
  ]);
  assert.deepEqual(
    classFigures(matrix).map(({ support, recallFraction, precisionFraction }) => [
      support,
      recallFraction,
      precisionFraction,
    ]),
    [
      [2, 0.5, 1],
      [2, 1, 1],
    ],
  );
  assert.equal(balancedAccuracy(matrix), 0.75);
  const units = Uint32Array.of(0, 1, 2, 3);
  assert.equal(balancedAccuracyOfUnits(images, units), 0.75);
  // Of the three that were answered, all are right.
  assert.equal(quadraticWeightedKappa(matrix), 1);
  assert.equal(quadraticWeightedKappaOfUnits(images, units), 1);
});
