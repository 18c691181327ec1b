import { InternalError } from '../diagnostics/errors.ts';

/** Counts by [true class][predicted class]. */
export type ConfusionMatrix = readonly (readonly number[])[];

/** Class indices below `classCount`, one of each an image. */
export interface ClassifiedImages {
  readonly labels: readonly number[];
  readonly predicted: readonly number[];
  readonly classCount: number;
}

export interface ClassFigures {
  readonly precisionFraction: number;
  readonly recallFraction: number;
  readonly f1Fraction: number;
  /** Images that truly belong to the class. */
  readonly support: number;
}

/** Counts of `predicted` by `labels`; both hold class indices below `classCount`. */
export function confusionMatrix(
  labels: readonly number[],
  predicted: readonly number[],
  classCount: number,
): ConfusionMatrix {
  const counts = Array.from({ length: classCount }, () => new Array<number>(classCount).fill(0));
  for (const [i, label] of labels.entries()) {
    const row = counts[label];
    const column = predicted[i];
    if (row?.[column ?? -1] === undefined) {
      throw new InternalError(`class ${label} or ${column} is outside 0 to ${classCount - 1}`);
    }
    row[column!]! += 1; // just checked
  }
  return counts;
}

/**
 * Precision, recall and F1 of each class (van Rijsbergen 1979; F1 = 2 tp / (2 tp + fp + fn)). A
 * fraction whose denominator is 0 is 0, as scikit-learn's `zero_division=0`; support tells such a
 * class apart.
 */
export function classFigures(matrix: ConfusionMatrix): ClassFigures[] {
  return matrix.map((row, index) => {
    const truePositives = row[index]!; // the matrix is square
    const support = sum(row);
    const predictedCount = sum(matrix.map((other) => other[index]!));
    return {
      precisionFraction: fractionOrZero(truePositives, predictedCount),
      recallFraction: fractionOrZero(truePositives, support),
      f1Fraction: fractionOrZero(2 * truePositives, predictedCount + support),
      support,
    };
  });
}

/**
 * The mean recall over the classes that have images (Brodersen et al. 2010; scikit-learn's
 * `balanced_accuracy_score`). Null when there are no images at all.
 */
export function balancedAccuracy(matrix: ConfusionMatrix): number | null {
  return meanRecall(
    matrix.map(sum),
    matrix.map((row, index) => row[index]!), // the matrix is square
  );
}

/** `balancedAccuracy` of the images that `units` names, some of them more than once. */
export function balancedAccuracyOfUnits(
  images: ClassifiedImages,
  units: Uint32Array,
): number | null {
  const { labels, predicted, classCount } = images;
  const supports = new Uint32Array(classCount);
  const hits = new Uint32Array(classCount);
  // Units index labels and predictions, which hold class indices below classCount.
  for (const unit of units) {
    const label = labels[unit]!;
    supports[label]! += 1;
    if (predicted[unit] === label) hits[label]! += 1;
  }
  return meanRecall(supports, hits);
}

/**
 * Cohen's kappa with quadratic weights (Cohen 1968): 1 - sum(w o) / sum(w e), where
 * w = (i - j)^2, o are the observed counts and e those expected from the margins alone. The usual
 * measure for graded disease, because two grades off costs four times one grade off. Null when it is
 * not defined: every label and every prediction is the same one class.
 */
export function quadraticWeightedKappa(matrix: ConfusionMatrix): number | null {
  const sums = createKappaSums();
  for (const [i, row] of matrix.entries()) {
    for (const [j, count] of row.entries()) if (count > 0) sums.add(i, j, count);
  }
  return sums.kappa();
}

/** `quadraticWeightedKappa` of the images that `units` names, some of them more than once. */
export function quadraticWeightedKappaOfUnits(
  { labels, predicted }: ClassifiedImages,
  units: Uint32Array,
): number | null {
  const sums = createKappaSums();
  for (const unit of units) sums.add(labels[unit]!, predicted[unit]!, 1); // units index both
  return sums.kappa();
}

/**
 * Quadratic weights need no matrix: with r and c the margins and n their total,
 * sum_ij (i - j)^2 r_i c_j = n (sum i^2 r_i + sum j^2 c_j) - 2 (sum i r_i) (sum j c_j),
 * by expanding the square. Classes are counted from the first label, which changes no difference, so
 * that a single class gives exactly 0; all sums are whole numbers, exact below 2^53.
 */
function createKappaSums(): {
  add(label: number, predicted: number, count: number): void;
  kappa(): number | null;
} {
  let origin = 0;
  let total = 0;
  let observed = 0;
  let labelSum = 0;
  let predictedSum = 0;
  let squareSum = 0; // of labels and predictions together
  return {
    add(label, predicted, count) {
      if (total === 0) origin = label;
      const i = label - origin;
      const j = predicted - origin;
      total += count;
      observed += count * (i - j) ** 2;
      labelSum += count * i;
      predictedSum += count * j;
      squareSum += count * (i * i + j * j);
    },
    kappa() {
      const expected = total * squareSum - 2 * labelSum * predictedSum;
      return expected === 0 ? null : 1 - (observed * total) / expected;
    },
  };
}

/** Both by class; a class without images has no recall. */
function meanRecall(supports: ArrayLike<number>, hits: ArrayLike<number>): number | null {
  let total = 0;
  let classCount = 0;
  for (let c = 0; c < supports.length; c += 1) {
    const support = supports[c]!; // both have one entry a class
    if (support === 0) continue;
    total += hits[c]! / support;
    classCount += 1;
  }
  return classCount === 0 ? null : total / classCount;
}

function fractionOrZero(numerator: number, denominator: number): number {
  return denominator === 0 ? 0 : numerator / denominator;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
