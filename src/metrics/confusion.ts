import { InternalError } from '../diagnostics/errors.ts';

/** Images of the class `label` that were taken for `predicted`. */
export interface ConfusionCell {
  readonly label: number;
  readonly predicted: number;
  /** At least 1. */
  readonly count: number;
}

/**
 * Counts by true and predicted class, kept sparsely: N images fill at most N cells, where all pairs of
 * 21,841 classes are 477 million.
 */
export interface ConfusionMatrix {
  readonly classCount: number;
  /** Those that are not zero, by true class and then by predicted class. */
  readonly cells: readonly ConfusionCell[];
  /** Images of each class, answered or not. */
  readonly supports: readonly number[];
}

/** Class indices below `classCount`, one of each an image. */
export interface ClassifiedImages {
  readonly labels: readonly number[];
  /** NaN where the model gave no answer (see `argmax`). */
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

/**
 * Counts of `predicted` by `labels`; both hold class indices below `classCount`. An image without an
 * answer (NaN) stands in no cell and still belongs to its class.
 */
export function confusionMatrix(
  labels: readonly number[],
  predicted: readonly number[],
  classCount: number,
): ConfusionMatrix {
  const supports = new Array<number>(classCount).fill(0);
  const counts = new Map<number, number>(); // label · classCount + predicted, exact below 2^53
  const isClass = (index: number): boolean =>
    Number.isInteger(index) && index >= 0 && index < classCount;
  for (const [i, label] of labels.entries()) {
    const answer = predicted[i]!; // one an image
    if (!isClass(label) || !(isClass(answer) || Number.isNaN(answer))) {
      throw new InternalError(`class ${label} or ${answer} is outside 0 to ${classCount - 1}`);
    }
    supports[label]! += 1; // a class index
    if (Number.isNaN(answer)) continue;
    const key = label * classCount + answer;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const cells = [...counts]
    .sort(([a], [b]) => a - b)
    .map(([key, count]) => ({
      label: Math.floor(key / classCount),
      predicted: key % classCount,
      count,
    }));
  return { classCount, cells, supports };
}

/** All counts by [true class][predicted class]: only for a number of classes whose square is small. */
export function denseCounts({ classCount, cells }: ConfusionMatrix): number[][] {
  const counts = Array.from({ length: classCount }, () => new Array<number>(classCount).fill(0));
  for (const { label, predicted, count } of cells) counts[label]![predicted] = count; // class indices
  return counts;
}

/**
 * Precision, recall and F1 of each class (van Rijsbergen 1979; F1 = 2 tp / (2 tp + fp + fn)). A
 * fraction whose denominator is 0 is 0, as scikit-learn's `zero_division=0`; support tells such a
 * class apart. An image without an answer counts against the recall of its class alone.
 */
export function classFigures(matrix: ConfusionMatrix): ClassFigures[] {
  const truePositives = hitsOf(matrix);
  const predictedCounts = new Float64Array(matrix.classCount);
  for (const { predicted, count } of matrix.cells) predictedCounts[predicted]! += count; // an index
  return matrix.supports.map((support, index) => {
    const hits = truePositives[index]!; // both have one entry a class
    const predictedCount = predictedCounts[index]!;
    return {
      precisionFraction: fractionOrZero(hits, predictedCount),
      recallFraction: fractionOrZero(hits, support),
      f1Fraction: fractionOrZero(2 * hits, predictedCount + support),
      support,
    };
  });
}

/**
 * The mean recall over the classes that have images (Brodersen et al. 2010; scikit-learn's
 * `balanced_accuracy_score`). Null when there are no images at all.
 */
export function balancedAccuracy(matrix: ConfusionMatrix): number | null {
  return meanRecall(matrix.supports, hitsOf(matrix));
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
 * measure for graded disease, because two grades off costs four times one grade off. Images without an
 * answer are left out: nothing tells how far off they are. Null when it is not defined: every label
 * and every prediction is the same one class.
 */
export function quadraticWeightedKappa(matrix: ConfusionMatrix): number | null {
  const sums = createKappaSums();
  for (const { label, predicted, count } of matrix.cells) sums.add(label, predicted, count);
  return sums.kappa();
}

/** `quadraticWeightedKappa` of the images that `units` names, some of them more than once. */
export function quadraticWeightedKappaOfUnits(
  { labels, predicted }: ClassifiedImages,
  units: Uint32Array,
): number | null {
  const sums = createKappaSums();
  for (const unit of units) {
    const answer = predicted[unit]!; // units index both
    if (!Number.isNaN(answer)) sums.add(labels[unit]!, answer, 1);
  }
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

/** Right answers by class. */
function hitsOf({ classCount, cells }: ConfusionMatrix): Float64Array {
  const hits = new Float64Array(classCount);
  for (const { label, predicted, count } of cells) if (label === predicted) hits[label]! += count; // an index
  return hits;
}

function fractionOrZero(numerator: number, denominator: number): number {
  return denominator === 0 ? 0 : numerator / denominator;
}
