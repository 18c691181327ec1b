import { InternalError } from '../diagnostics/errors.ts';

/** Counts by [true class][predicted class]. */
export type ConfusionMatrix = readonly (readonly number[])[];

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
  const recalls: number[] = [];
  for (const [index, row] of matrix.entries()) {
    const support = sum(row);
    if (support > 0) recalls.push(row[index]! / support);
  }
  return recalls.length === 0 ? null : sum(recalls) / recalls.length;
}

/**
 * Cohen's kappa with quadratic weights (Cohen 1968): 1 - sum(w o) / sum(w e), where
 * w = (i - j)^2, o are the observed counts and e those expected from the margins alone. The usual
 * measure for graded disease, because two grades off costs four times one grade off. Null when it is
 * not defined: every label and every prediction is the same one class.
 */
export function quadraticWeightedKappa(matrix: ConfusionMatrix): number | null {
  const rowSums = matrix.map(sum);
  const columnSums = matrix.map((_, j) => sum(matrix.map((row) => row[j]!)));
  const total = sum(rowSums);
  let observed = 0;
  let expected = 0;
  for (const [i, row] of matrix.entries()) {
    for (const [j, count] of row.entries()) {
      const weight = (i - j) ** 2;
      observed += weight * count;
      expected += weight * rowSums[i]! * columnSums[j]!; // both have one entry a class
    }
  }
  return expected === 0 ? null : 1 - (observed * total) / expected;
}

function fractionOrZero(numerator: number, denominator: number): number {
  return denominator === 0 ? 0 : numerator / denominator;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
