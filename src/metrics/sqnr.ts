/** Sums of squares: of the reference, and of what the other differs from it by. */
export interface NoiseSums {
  readonly signal: number;
  /** Infinity where the other is not finite and the reference is. */
  readonly noise: number;
}

/**
 * What `actual` differs from `reference` by. The same infinity on both sides is no difference, as
 * classes that a model masks have; null where the reference is NaN, or infinite and not repeated: there
 * is nothing to measure by.
 */
export function noiseOf(reference: ArrayLike<number>, actual: ArrayLike<number>): NoiseSums | null {
  let signal = 0;
  let noise = 0;
  // The caller gives two tensors of one shape.
  for (let i = 0; i < reference.length; i += 1) {
    const value = reference[i]!;
    const other = actual[i]!;
    if (!Number.isFinite(value)) {
      if (value !== other) return null;
      continue;
    }
    const difference = Number.isFinite(other) ? value - other : Infinity;
    signal += value * value;
    noise += difference * difference;
  }
  return { signal, noise };
}

/**
 * Signal to quantization noise ratio in dB: 10 log10(sum r^2 / sum (r - a)^2) (Jacob et al. 2018 and
 * AIMET use the same). Null when there is no noise at all; -Infinity when there is nothing but noise: no
 * signal, or noise that is not finite.
 */
export function sqnrDbOf({ signal, noise }: NoiseSums): number | null {
  if (noise === 0) return null;
  return signal > 0 && Number.isFinite(noise) ? 10 * Math.log10(signal / noise) : -Infinity;
}

/** Sums over many tensors, so that no tensor has to be kept. */
export interface SqnrAccumulator {
  add(reference: ArrayLike<number>, actual: ArrayLike<number>): void;
  /** As `sqnrDbOf`; a reference that nothing can be measured by gives -Infinity. */
  finishDb(): number | null;
}

export function createSqnrAccumulator(): SqnrAccumulator {
  let signal = 0;
  let noise = 0;
  return {
    add(reference, actual) {
      const sums = noiseOf(reference, actual) ?? { signal: 0, noise: Infinity };
      signal += sums.signal;
      noise += sums.noise;
    },
    finishDb: () => sqnrDbOf({ signal, noise }),
  };
}
