import { asRows, eachRow } from './channel-rows.ts';
import { meetingPairs } from './code-bounds.ts';
import { UINT8_MAX } from './parameters.ts';

/**
 * The largest magnitude that uint8 codes times one weight, or two weights of one row that meet, can sum
 * to, over all rows and all inputs. AVX2's vpmaddubsw adds two such products in 16 bits and saturates,
 * so up to `LARGEST_PAIR_SUM` no input gives a wrong result there. `meeting` says which weights meet
 * (see `CodeBounds`); null: any two of a row, so that the result holds however a kernel packs them.
 *
 * With inputs in [0, 255] a sum is largest when every positive weight meets 255 and every negative
 * one 0: 255 · (the two largest), or 255 · (the two smallest) below zero. Rows are [M, …] for axis 0
 * and the columns of [K, M] for axis 1.
 */
export function worstPairSum(
  codes: Int8Array,
  channelCount: number,
  axis: 0 | 1,
  meeting: Int32Array | null = null,
): number {
  const rows = eachRow(asRows(codes, { channelCount, axis }), channelCount);
  const worstOfRow = meeting === null ? worstOfAny : worstOfPairs(meetingPairs(meeting));
  return rows.reduce((worst, row) => Math.max(worst, worstOfRow(row)), 0) * UINT8_MAX;
}

/** Of any two codes of the row; the largest magnitude of a sum of those of one sign. */
function worstOfAny(row: Int8Array): number {
  let [first, second] = [0, 0]; // the two largest, and below them the two smallest, of the row
  let [least, next] = [0, 0];
  // eslint-disable-next-line @typescript-eslint/prefer-for-of -- takes three times as long
  for (let k = 0; k < row.length; k += 1) {
    const code = row[k]!; // k < length
    if (code > second) {
      second = Math.min(code, first);
      first = Math.max(code, first);
    } else if (code < next) {
      next = Math.max(code, least);
      least = Math.min(code, least);
    }
  }
  return Math.max(first + second, -(least + next));
}

/** Of those that meet, and of each alone. */
function worstOfPairs(pairs: Int32Array) {
  return (row: Int8Array): number => {
    let worst = 0;
    // eslint-disable-next-line @typescript-eslint/prefer-for-of -- takes three times as long
    for (let k = 0; k < row.length; k += 1) {
      const magnitude = Math.abs(row[k]!); // k < length
      if (magnitude > worst) worst = magnitude;
    }
    for (let p = 0; p < pairs.length; p += 2) {
      // Of two signs it is less than one of them; both are in the row.
      const magnitude = Math.abs(row[pairs[p]!]! + row[pairs[p + 1]!]!);
      if (magnitude > worst) worst = magnitude;
    }
    return worst;
  };
}
