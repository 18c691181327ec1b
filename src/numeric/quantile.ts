import { InternalError } from '../diagnostics/errors.ts';

/**
 * The `fraction` quantile of ascending values by linear interpolation between order statistics
 * (Hyndman and Fan 1996, type 7: what numpy, R and Excel do by default).
 */
export function quantileOfSorted(
  ascending: { readonly length: number; readonly [index: number]: number },
  fraction: number,
): number {
  if (ascending.length === 0) throw new InternalError('a quantile of no values was asked for');
  const position = (ascending.length - 1) * fraction;
  const below = Math.floor(position);
  const above = Math.min(below + 1, ascending.length - 1);
  // 0 <= below <= above < length, because 0 <= fraction <= 1.
  const lower = ascending[below]!;
  return lower + (ascending[above]! - lower) * (position - below);
}
