export type ClassWeighting = 'none' | 'balanced' | 'square-root';

export interface TargetOptions {
  readonly classCount: number;
  /** Probability mass spread evenly over all classes (Szegedy et al. 2015, section 7). */
  readonly labelSmoothing: number;
  /** One a class; null: all count the same. */
  readonly classWeights: readonly number[] | null;
}

export interface TrainingTargets {
  /** Probabilities [N, classes]; each row sums to 1. */
  readonly rows: Float32Array;
  /** Factor on each image's loss; the batch's loss is the sum. */
  readonly imageWeights: Float32Array;
}

/**
 * Targets whose cross-entropy is PyTorch's `cross_entropy(logits, labels, weight, label_smoothing)` with mean
 * reduction: target c of an image with label y is weight_c ((1 - e) [c = y] + e / C), and the sum over the
 * batch is divided by the sum of weight_y. Rows are scaled to 1, since the fused kernel's gradient,
 * softmax - target, is right for those alone; the scale goes into `imageWeights`.
 */
export function trainingTargets(
  labels: Int32Array,
  { classCount, labelSmoothing, classWeights }: TargetOptions,
): TrainingTargets {
  const rows = new Float32Array(labels.length * classCount).fill(labelSmoothing / classCount);
  // Labels are below classCount, and there is a weight for each class.
  labels.forEach((label, n) => {
    const index = n * classCount + label;
    rows[index] = rows[index]! + 1 - labelSmoothing;
  });
  if (classWeights === null) {
    return { rows, imageWeights: new Float32Array(labels.length).fill(1 / labels.length) };
  }
  const totalWeight = labels.reduce((sum, label) => sum + classWeights[label]!, 0);
  const imageWeights = Float32Array.from(labels, (_label, n) => {
    const row = rows.subarray(n * classCount, (n + 1) * classCount);
    row.forEach((value, c) => {
      row[c] = value * classWeights[c]!;
    });
    const rowSum = row.reduce((sum, value) => sum + value, 0);
    row.forEach((value, c) => {
      row[c] = value / rowSum;
    });
    return rowSum / totalWeight;
  });
  return { rows, imageWeights };
}

/**
 * Weight of each class, from how often it occurs: `balanced` is image count / (class count * images of the
 * class), as scikit-learn's `class_weight="balanced"`; `square-root` its root. A class without images has none.
 */
export function classWeightsOf(
  labels: readonly number[],
  classCount: number,
  weighting: ClassWeighting,
): number[] | null {
  if (weighting === 'none') return null;
  return countByClass(labels, classCount).map((count) => {
    if (count === 0) return 0;
    const balanced = labels.length / (classCount * count);
    return weighting === 'balanced' ? balanced : Math.sqrt(balanced);
  });
}

function countByClass(labels: readonly number[], classCount: number): number[] {
  const counts = new Array<number>(classCount).fill(0);
  for (const label of labels) counts[label] = (counts[label] ?? 0) + 1;
  return counts;
}
