import { shortenList } from '../diagnostics/shorten-list.ts';
import { quantileOfSorted } from '../numeric/quantile.ts';

/** Times the usual input's: a forgotten division by 255 is far beyond, a bright photograph far below. */
const LARGEST_USUAL_RATIO = 20;

/** Inputs shown by number; the rest are counted. */
const SHOWN = 5;

/**
 * What to say of inputs whose largest magnitude is many times that of the usual input, the median: the
 * ranges have to hold them, which leaves few codes for all others. Null when there are none. `largest` has
 * the magnitude of each in the caller's order, `called` is the option they were given as.
 */
export function describeOutlyingInputs(largest: readonly number[], called: string): string | null {
  if (largest.length === 0) return null;
  const usual = quantileOfSorted(
    [...largest].sort((a, b) => a - b),
    0.5,
  );
  if (usual === 0) return null;
  const ratios = largest.map((magnitude) => magnitude / usual);
  const outlying = [...ratios.keys()].filter((i) => (ratios[i] ?? 0) > LARGEST_USUAL_RATIO);
  if (outlying.length === 0) return null;
  const most = ratios.reduce((greatest, ratio) => Math.max(greatest, ratio), 0);
  const [inputs, verb, their] =
    outlying.length === 1 ? ['input', 'reaches', 'its'] : ['inputs', 'reach', 'their'];
  return `${inputs} ${shortenList(outlying.map(String), SHOWN)} of "${called}" (the first is 0) ${verb} ${outlying.length === 1 ? '' : 'up to '}${Number(most.toPrecision(3))} times the largest value of the usual input: check ${their} normalization`;
}
