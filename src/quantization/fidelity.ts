import { noiseOf, sqnrDbOf } from '../metrics/sqnr.ts';
import { finiteOrNull } from '../numeric/finite-or-null.ts';
import { distributionOf, winnerOf, type ScoreKind } from './class-scores.ts';

/** How closely a quantized model follows its float model, on images it was not calibrated on. */
export interface Fidelity {
  readonly imageCount: number;
  /**
   * Share of images for which both models put the same class first, or decide alike by one score; NaN
   * decides nothing.
   */
  readonly agreementFraction: number;
  /** Mean of KL(float ‖ quantized) over the images, of the classes' probabilities, in nats; null: not finite. */
  readonly klDivergence: number | null;
  /**
   * Pooled: all images' signal over all images' noise; null when there is no difference at all, or,
   * with `notFinite`, when it is not finite.
   */
  readonly logitsSqnrDb: number | null;
  /** The mean of each image's own dB, over images with any difference; null as `logitsSqnrDb` is. */
  readonly logitsSqnrPerImageDb: number | null;
  /** Only where it is so on any image. */
  readonly notFinite?: NotFiniteImages;
  /** Top-1 accuracy of both models; only where the images have labels. */
  readonly accuracy?: { readonly floatTop1Fraction: number; readonly top1Fraction: number };
}

export interface NotFiniteImages {
  /** With a float score that is NaN, or infinite where the quantized one is not: left out of KL and SQNR. */
  readonly floatImageCount: number;
  /** Of the others, those without a finite SQNR: a quantized score is not finite, or all float scores are 0. */
  readonly quantizedImageCount: number;
}

export interface FidelityOptions {
  /** Class of each image. */
  readonly labels?: readonly number[];
  /** Whether outputs are logits or went through a softmax or sigmoid already. */
  readonly scores?: ScoreKind;
}

/** `reference` holds the float model's outputs, `actual` the quantized model's of the same images. */
export function fidelityOf(
  reference: readonly Float32Array[],
  actual: readonly Float32Array[],
  { labels, scores = 'logits' }: FidelityOptions = {},
): Fidelity {
  const pooled = { signal: 0, noise: 0 };
  let sameCount = 0;
  let divergence = 0;
  let floatImageCount = 0;
  let quantizedImageCount = 0;
  const perImageDb: number[] = [];
  for (const [i, row] of reference.entries()) {
    const other = actual[i]!; // both models ran the same images
    if (winnerOf(row, scores) === winnerOf(other, scores)) sameCount += 1;
    const sums = noiseOf(row, other);
    if (sums === null) {
      floatImageCount += 1;
      continue;
    }
    pooled.signal += sums.signal;
    pooled.noise += sums.noise;
    const db = sqnrDbOf(sums);
    if (db === -Infinity) quantizedImageCount += 1;
    else if (db !== null) perImageDb.push(db);
    divergence += rowDivergence(row, other, scores);
  }
  const imageCount = reference.length;
  const pooledDb = sqnrDbOf(pooled);
  const isFinite = floatImageCount + quantizedImageCount === 0;
  return {
    imageCount,
    agreementFraction: sameCount / imageCount,
    klDivergence: finiteOrNull(divergence / (imageCount - floatImageCount)),
    logitsSqnrDb: finiteOrNull(pooledDb),
    logitsSqnrPerImageDb:
      pooledDb === null || pooledDb === -Infinity
        ? null
        : finiteOrNull(perImageDb.reduce((sum, db) => sum + db, 0) / perImageDb.length),
    ...(isFinite ? {} : { notFinite: { floatImageCount, quantizedImageCount } }),
    ...(labels === undefined
      ? {}
      : {
          accuracy: {
            floatTop1Fraction: top1Fraction(reference, labels, scores),
            top1Fraction: top1Fraction(actual, labels, scores),
          },
        }),
  };
}

/** KL(reference ‖ actual) in nats of two rows of scores; NaN where either holds NaN. */
export function rowDivergence(
  reference: ArrayLike<number>,
  actual: ArrayLike<number>,
  scores: ScoreKind,
): number {
  return klDivergence(distributionOf(reference, scores), distributionOf(actual, scores));
}

/** Smaller than any probability a float32 softmax gives; keeps the logarithm finite. */
const SMALLEST_PROBABILITY = 1e-30;

/** Kullback-Leibler divergence of two distributions in nats: sum of p log(p / q). */
export function klDivergence(p: ArrayLike<number>, q: ArrayLike<number>): number {
  let sum = 0;
  // Both have one entry a class.
  for (let i = 0; i < p.length; i += 1) {
    const probability = p[i]!;
    if (probability <= 0) continue; // p log p tends to 0
    sum += probability * Math.log(probability / Math.max(q[i]!, SMALLEST_PROBABILITY));
  }
  return Math.max(sum, 0); // rounding may leave a little less than 0
}

function top1Fraction(
  rows: readonly Float32Array[],
  labels: readonly number[],
  scores: ScoreKind,
): number {
  const hits = rows.filter((row, i) => winnerOf(row, scores) === labels[i]);
  return hits.length / rows.length;
}
