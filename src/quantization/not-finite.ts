import type { Fidelity } from './fidelity.ts';

/**
 * What stands in place of a figure that is not finite; null where all are. Images whose float scores
 * are not finite do not count.
 */
export function notFiniteText({ imageCount, notFinite }: Fidelity): string | null {
  if (notFinite === undefined) return null;
  const measuredCount = imageCount - notFinite.floatImageCount;
  if (measuredCount === 0) return 'not measured: no float scores are finite';
  return notFinite.quantizedImageCount === 0
    ? null
    : `not finite on ${notFinite.quantizedImageCount} of ${measuredCount} images`;
}

/** What to tell beside the figures; empty where all scores are finite. */
export function notFiniteNotes(fidelity: Fidelity): string[] {
  const { imageCount, notFinite } = fidelity;
  if (notFinite === undefined) return [];
  const text = notFiniteText(fidelity);
  const leftOut = Object.entries({
    'KL divergence': fidelity.klDivergence,
    'the pooled SQNR': fidelity.logitsSqnrDb,
    'the mean SQNR': fidelity.logitsSqnrPerImageDb,
  }).flatMap(([name, value]) => (value === null ? [name] : []));
  return [
    ...(notFinite.floatImageCount === 0
      ? []
      : [
          `${floatScoresText(notFinite.floatImageCount, imageCount)}: KL divergence and SQNR leave them out`,
        ]),
    ...(text === null
      ? []
      : [
          `the SQNR of the outputs is ${text}${leftOut.length === 0 ? '' : `: there is no value of ${leftOut.join(', ')}`}`,
        ]),
  ];
}

/** `3 of 12 images have float scores that are not finite`. */
export function floatScoresText(count: number, imageCount: number, images = 'images'): string {
  return `${count} of ${imageCount} ${images} have float scores that are not finite`;
}

/** A ratio in dB as reports show it: null is no noise, unless `notFinite` says otherwise. */
export function decibelsText(value: number | null, notFinite: string | null = null): string {
  return value?.toFixed(1) ?? notFinite ?? 'exact';
}
