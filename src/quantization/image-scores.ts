import { noiseOf, sqnrDbOf } from '../metrics/sqnr.ts';

/**
 * SQNR in dB of each image; null where it says nothing: no noise at all, or nothing to measure by;
 * -Infinity where the outputs are not finite.
 */
export type ImageScores = readonly (number | null)[];

/**
 * Differences this small are noise, whatever images they are seen on: two runs of one network that
 * differ in nothing but the order of float additions were up to 1 dB apart over 8 images, since rounded
 * activations fall on other sides.
 */
const TIE_DB = 0.25;

/**
 * Scores of each candidate's rows against the float network's, and which images there is nothing to
 * measure by: the float scores are not finite there. What one candidate cannot be measured on counts for
 * none, so that all are judged by the same images.
 *
 * Their mean is what candidates are judged by: the SQNR of all outputs together would follow the rare
 * image with outputs ten times the others'. On a ResNet-50 it prefers ranges that hold those images,
 * with which 67 % of the answers are the float network's, to ranges of the usual image, with which 88 %
 * are. The mean of the images' relative errors, which minds a ruined image more, cost an EfficientNet-B0
 * 3 dB.
 */
export function scoreCandidates(
  reference: readonly Float32Array[],
  candidates: readonly (readonly Float32Array[])[],
): { readonly scores: readonly ImageScores[]; readonly unmeasured: readonly boolean[] } {
  const sums = candidates.map((rows) => reference.map((row, i) => noiseOf(row, rows[i]!))); // the same images
  const unmeasured = reference.map((_, i) => sums.some((each) => each[i] === null));
  const scores = sums.map((each) =>
    each.map((noise, i) =>
      // An image whose float scores are all 0 has no ratio either.
      noise === null || unmeasured[i] === true || noise.signal === 0 ? null : sqnrDbOf(noise),
    ),
  );
  return { scores, unmeasured };
}

/** Over the images that have noise; null where none has; -Infinity where any is not finite. */
export function meanDb(scores: ImageScores): number | null {
  const values = scores.filter((score) => score !== null);
  if (values.length === 0) return null;
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Images on which the outputs are not finite. */
export function notFiniteCount(scores: ImageScores): number {
  return scores.filter((score) => score === -Infinity).length;
}

/** Position of the candidate with the fewest images that are not finite, then of the highest mean. */
export function bestCandidate(candidates: readonly ImageScores[]): number {
  let best = 0;
  for (const [i, scores] of candidates.entries()) if (isAhead(scores, candidates[best]!)) best = i;
  return best;
}

function isAhead(scores: ImageScores, best: ImageScores): boolean {
  const [lost, least] = [notFiniteCount(scores), notFiniteCount(best)];
  if (lost !== least) return lost < least;
  const [mean, highest] = [scores, best].map((each) => meanDb(finiteOf(each)) ?? Infinity);
  return mean! > highest!; // one each
}

/**
 * Whether `other` is above `own` by more than what is noise anyway, and by more than the standard error
 * of the images' differences: some images may like either better. Before that, the fewer images are not
 * finite the better.
 */
export function isBetter(other: ImageScores, own: ImageScores): boolean {
  const [otherLost, ownLost] = [notFiniteCount(other), notFiniteCount(own)];
  if (otherLost !== ownLost) return otherLost < ownLost;
  const [otherMean, ownMean] = [meanDb(finiteOf(other)), meanDb(finiteOf(own))];
  if (otherMean === null || ownMean === null) return otherMean === null && ownMean !== null;
  const differences = other.flatMap((score, i) => {
    const mine = own[i] ?? null;
    return isFiniteScore(score) && isFiniteScore(mine) ? [score - mine] : [];
  });
  const count = differences.length;
  const mean = differences.reduce((sum, value) => sum + value, 0) / count;
  const squares = differences.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const standardError = count > 1 ? Math.sqrt(squares / (count * (count - 1))) : 0;
  return mean > Math.max(TIE_DB, standardError);
}

function finiteOf(scores: ImageScores): ImageScores {
  return scores.filter(isFiniteScore);
}

function isFiniteScore(score: number | null): score is number {
  return score !== null && Number.isFinite(score);
}
