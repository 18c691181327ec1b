import { UINT8_MAX } from './parameters.ts';

/** Largest sum that 16 bits hold with a sign. */
export const LARGEST_PAIR_SUM = 2 ** 15 - 1;

/**
 * The largest magnitude that uint8 codes times two weights of one row can sum to, over all rows,
 * all pairs of weights of a row and all inputs. AVX2's vpmaddubsw adds two such products in 16 bits
 * and saturates, so up to `LARGEST_PAIR_SUM` no input gives a wrong result there. Which weights meet
 * depends on how a kernel packs them; any two of a row are taken, so this holds for every packing.
 *
 * With inputs in [0, 255] a sum is largest when every positive weight meets 255 and every negative
 * one 0: 255 · (the two largest), or 255 · (the two smallest) below zero. Rows are [M, …] for axis 0
 * and the columns of [K, M] for axis 1.
 */
export function worstPairSum(codes: Int8Array, channelCount: number, axis: 0 | 1): number {
  const inner = codes.length / channelCount;
  const [rowStep, step] = axis === 0 ? [inner, 1] : [1, channelCount];
  let worst = 0;
  for (let channel = 0; channel < channelCount; channel += 1) {
    const start = channel * rowStep;
    const end = start + inner * step;
    let [first, second] = [0, 0]; // the two largest, and below them the two smallest, of the row
    let [least, next] = [0, 0];
    for (let i = start; i < end; i += step) {
      const code = codes[i]!; // inside
      if (code > second) {
        second = Math.min(code, first);
        first = Math.max(code, first);
      } else if (code < next) {
        next = Math.max(code, least);
        least = Math.min(code, least);
      }
    }
    worst = Math.max(worst, UINT8_MAX * (first + second), -UINT8_MAX * (least + next));
  }
  return worst;
}
