import { createSqnrAccumulator } from '../metrics/sqnr.ts';
import { distributionOf, winnerOf, type ScoreKind } from './class-scores.ts';

/** How closely a quantized model follows its float model, on images it was not calibrated on. */
export interface Fidelity {
  readonly imageCount: number;
  /** Share of images for which both models put the same class first, or decide alike by one score. */
  readonly agreementFraction: number;
  /** Mean of KL(float ‖ quantized) over the images, of the classes' probabilities, in nats. */
  readonly klDivergence: number;
  /** Pooled: all images' signal over all images' noise; null when there is no difference at all. */
  readonly logitsSqnrDb: number | null;
  /** The mean of each image's own dB, over images with any difference; null when there is none. */
  readonly logitsSqnrPerImageDb: number | null;
  /** Top-1 accuracy of both models; only where the images have labels. */
  readonly accuracy?: { readonly floatTop1Fraction: number; readonly top1Fraction: number };
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
  const pooled = createSqnrAccumulator();
  let sameCount = 0;
  let divergence = 0;
  const perImageDb: number[] = [];
  for (const [i, row] of reference.entries()) {
    const other = actual[i]!; // both models ran the same images
    pooled.add(row, other);
    const own = createSqnrAccumulator();
    own.add(row, other);
    const db = own.finishDb();
    if (db !== null) perImageDb.push(db);
    if (winnerOf(row, scores) === winnerOf(other, scores)) sameCount += 1;
    divergence += klDivergence(distributionOf(row, scores), distributionOf(other, scores));
  }
  const imageCount = reference.length;
  return {
    imageCount,
    agreementFraction: sameCount / imageCount,
    klDivergence: divergence / imageCount,
    logitsSqnrDb: pooled.finishDb(),
    logitsSqnrPerImageDb:
      perImageDb.length === 0
        ? null
        : perImageDb.reduce((sum, db) => sum + db, 0) / perImageDb.length,
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
