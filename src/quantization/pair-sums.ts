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
  const inner = codes.length / channelCount;
  const [rowStep, step] = axis === 0 ? [inner, 1] : [1, channelCount];
  const worstOfRow = meeting === null ? worstOfAny : worstOfMeeting(meeting);
  let worst = 0;
  for (let channel = 0; channel < channelCount; channel += 1) {
    const start = channel * rowStep;
    worst = Math.max(worst, worstOfRow(codes, { start, end: start + inner * step, step }));
  }
  return worst * UINT8_MAX;
}

/** Indices start, start + step, … below end. */
interface Row {
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

/** Of any two codes of the row; the largest magnitude of a sum of those of one sign. */
function worstOfAny(codes: Int8Array, { start, end, step }: Row): number {
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
  return Math.max(first + second, -(least + next));
}

/** Of those that meet, and of each alone. */
function worstOfMeeting(meeting: Int32Array) {
  const pairs = meetingPairs(meeting);
  return (codes: Int8Array, { start, end, step }: Row): number => {
    let worst = 0;
    for (let i = start; i < end; i += step) {
      const magnitude = Math.abs(codes[i]!); // inside
      if (magnitude > worst) worst = magnitude;
    }
    for (let p = 0; p < pairs.length; p += 2) {
      const sum = codes[start + pairs[p]! * step]! + codes[start + pairs[p + 1]! * step]!; // in the row
      const magnitude = Math.abs(sum); // of two signs less than that of one of them
      if (magnitude > worst) worst = magnitude;
    }
    return worst;
  };
}
