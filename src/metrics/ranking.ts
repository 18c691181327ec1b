/**
 * Index of the largest score; the lowest index wins a tie, as argmax does in numpy and ONNX. NaN where
 * any score is NaN: such a row names no class. NaN equals no label and no other answer, itself
 * included, so it agrees with nothing and is right about nothing.
 */
export function argmax(scores: ArrayLike<number>): number {
  let best = 0;
  // Every index below `length` exists.
  for (let i = 0; i < scores.length; i += 1) {
    const score = scores[i]!;
    if (Number.isNaN(score)) return NaN;
    if (score > scores[best]!) best = i;
  }
  return best;
}

/**
 * Whether `label` is among the `k` largest scores. Ties rank by index, lowest first, so that k = 1
 * agrees with `argmax`; no label is where a score is NaN.
 */
export function isInTopK(scores: ArrayLike<number>, label: number, k: number): boolean {
  const own = scores[label]!;
  let ahead = 0;
  for (let i = 0; i < scores.length; i += 1) {
    const other = scores[i]!;
    if (Number.isNaN(other)) return false;
    if (other > own || (other === own && i < label)) ahead += 1;
  }
  return ahead < k;
}

/**
 * Probabilities from logits; shifted by the maximum so that exp never overflows. Infinite maxima share
 * all of it, as in the limit; any NaN makes every probability NaN.
 */
export function softmax(logits: ArrayLike<number>): Float64Array {
  const largest = logits[argmax(logits)] ?? NaN;
  const exponentials = Float64Array.from(logits, (logit) =>
    logit === largest ? 1 : Math.exp(logit - largest),
  );
  const total = exponentials.reduce((sum, value) => sum + value, 0);
  return exponentials.map((value) => value / total);
}
