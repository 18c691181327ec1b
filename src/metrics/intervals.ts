/** The 97.5 % quantile of the standard normal distribution: both tails together leave 95 %. */
const Z_95 = 1.959963984540054;

/**
 * The Wilson score 95 % interval of a fraction (Wilson 1927; recommended over the normal
 * approximation by Brown, Cai and DasGupta 2001): it never leaves [0, 1] and has a width even for
 * 0 or all successes. Null when there were no trials.
 */
export function wilsonInterval(successCount: number, trialCount: number): [number, number] | null {
  if (trialCount === 0) return null;
  const z2 = Z_95 * Z_95;
  const fraction = successCount / trialCount;
  const denominator = 1 + z2 / trialCount;
  const centre = (fraction + z2 / (2 * trialCount)) / denominator;
  const halfWidth =
    (Z_95 / denominator) *
    Math.sqrt((fraction * (1 - fraction)) / trialCount + z2 / (4 * trialCount * trialCount));
  // At the ends the formula is exact but floating point misses 0 and 1 by an ulp or two.
  const lower = successCount === 0 ? 0 : centre - halfWidth;
  const upper = successCount === trialCount ? 1 : centre + halfWidth;
  return [lower, upper];
}
