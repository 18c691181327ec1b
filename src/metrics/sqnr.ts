/** Sums over many tensors, so that no tensor has to be kept. */
export interface SqnrAccumulator {
  add(reference: ArrayLike<number>, actual: ArrayLike<number>): void;
  /**
   * Signal to quantization noise ratio in dB: 10 log10(sum r^2 / sum (r - a)^2) (Jacob et al. 2018
   * and AIMET use the same). Null when it is not finite: no noise at all, or no signal.
   */
  finishDb(): number | null;
}

export function createSqnrAccumulator(): SqnrAccumulator {
  let signal = 0;
  let noise = 0;
  return {
    add(reference, actual) {
      // The caller gives two tensors of one shape.
      for (let i = 0; i < reference.length; i += 1) {
        const value = reference[i]!;
        const difference = value - actual[i]!;
        signal += value * value;
        noise += difference * difference;
      }
    },
    finishDb: () => (signal > 0 && noise > 0 ? 10 * Math.log10(signal / noise) : null),
  };
}
