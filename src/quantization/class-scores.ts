import { argmax, softmax } from '../metrics/ranking.ts';
import type { ClassifierSignature } from '../onnx/model-signature.ts';

/** What the values of an output are. */
export type ScoreKind = ClassifierSignature['scores'];

/** The class that a row of scores puts first; see `scoresOfClasses` for a row of one. */
export function winnerOf(row: ArrayLike<number>, kind: ScoreKind): number {
  return argmax(scoresOfClasses(row, kind));
}

/** The probabilities of the classes that a row of scores means. */
export function distributionOf(row: ArrayLike<number>, kind: ScoreKind): ArrayLike<number> {
  const scores = scoresOfClasses(row, kind);
  const isDistribution = kind === 'probabilities' || (kind === 'sigmoids' && row.length === 1);
  return isDistribution ? scores : softmax(scores);
}

/**
 * One score decides between two classes: a probability p is (1 - p, p), a logit x is (0, x), whose softmax
 * is (1 - sigmoid(x), sigmoid(x)). So the second class wins above 0.5 or above 0.
 */
function scoresOfClasses(row: ArrayLike<number>, kind: ScoreKind): ArrayLike<number> {
  if (row.length !== 1) return row;
  const score = row[0]!; // the only one
  return kind === 'logits' ? [0, score] : [1 - score, score];
}
