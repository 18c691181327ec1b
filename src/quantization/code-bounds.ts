import { integerOf } from '../onnx/attributes.ts';
import type { OnnxNode } from '../onnx/model.ts';
import type { Target } from './choices.ts';
import { gainsByPadding } from './pad-input-channels.ts';
import { UINT8_MAX } from './parameters.ts';

/** Which codes the weights of a row may have. */
export interface CodeBounds {
  /** Largest magnitude of a code. */
  readonly limit: number;
  /**
   * [K]: for each weight of a row the index of the one it meets, -1 for none. Two that meet and have
   * one sign have magnitudes of `LARGEST_MEETING_SUM` together at most. Null: pairs are not bounded.
   */
  readonly meeting: Int32Array | null;
}

/** Largest sum that 16 bits hold with a sign. */
export const LARGEST_PAIR_SUM = 2 ** 15 - 1;

/** Of two codes of one sign: 255 · 128 fits `LARGEST_PAIR_SUM`. */
export const LARGEST_MEETING_SUM = Math.floor(LARGEST_PAIR_SUM / UINT8_MAX);

/** The pairs of a row's weights that meet, each once: the first and second index of one after the other. */
export function meetingPairs(meeting: CodeBounds['meeting']): Int32Array {
  if (meeting === null) return new Int32Array();
  const pairs = new Int32Array(meeting.length);
  let length = 0;
  for (const [k, other] of meeting.entries()) {
    if (other < k) continue; // none, or seen from the other side
    pairs[length] = k;
    pairs[length + 1] = other;
    length += 2;
  }
  return pairs.subarray(0, length);
}

/** The largest and the smallest code beside `met`, a code that meets it (0 where none does yet). */
export function highestBeside(met: number, limit: number): number {
  return met > 0 ? Math.min(limit, LARGEST_MEETING_SUM - met) : limit;
}
export function lowestBeside(met: number, limit: number): number {
  return met < 0 ? Math.max(-limit, -LARGEST_MEETING_SUM - met) : -limit;
}

export interface BoundedLayer {
  readonly node: OnnxNode;
  /** [M, C/group, …] for a Conv; [M, K] for axis 0 or [K, M] for axis 1 of a Gemm or MatMul. */
  readonly weightDims: readonly number[];
  /** Where the output channels stand. */
  readonly axis: 0 | 1;
}

/**
 * AVX2 without VNNI adds two products of uint8 and int8 in 16 bits and saturates (vpmaddubsw): with
 * magnitudes of 64 at most no two weights can, whichever a kernel puts side by side. That is what
 * `portable` keeps to. `avx2` is for onnxruntime's kernels, of which it is known which two meet
 * (`meetingWeights`), so that most weights keep all 8 bits.
 */
export function codeBounds(
  layer: BoundedLayer,
  target: Target,
  firstConvolution: 'pad' | 'keep',
): CodeBounds {
  if (target === 'vnni') return { limit: 127, meeting: null };
  const meeting = target === 'avx2' ? meetingWeights(layer, firstConvolution) : null;
  return { limit: meeting === null ? LARGEST_MEETING_SUM / 2 : 127, meeting };
}

/**
 * Which two weights of a row onnxruntime adds products of in 16 bits (1.30, x64, QLinearConv in its
 * NHWC form, QGemm and QLinearMatMul, as its default graph optimization makes them): the inputs of a
 * window are taken position by position, at each all channels of the group, and every second one meets
 * the one after it. Depthwise convolutions add in 32 bits, so nothing meets there. Found by giving each
 * pair of weights of such layers the codes 127 and 127, which a test repeats. Null: a window of this
 * kind is too long to be rounded in one piece (see `roundLayer`).
 */
export function meetingWeights(
  { node, weightDims, axis }: BoundedLayer,
  firstConvolution: 'pad' | 'keep',
): Int32Array | null {
  if (node.opType !== 'Conv') return neighbours(weightDims[axis === 0 ? 1 : 0] ?? 0);
  const [rowCount = 0, channels = 0, ...window] = weightDims;
  const area = window.reduce((product, size) => product * size, 1);
  const isDepthwise = channels === 1 && integerOf(node, 'group', 1) === rowCount;
  if (isDepthwise && window.length === 2) return new Int32Array(area).fill(-1);
  const isPadded = firstConvolution === 'pad' && gainsByPadding(node, weightDims, 'avx2');
  const taken = isPadded ? channels + 1 : channels;
  if (taken % 2 === 1 && channels * area > LONGEST_ODD) return null;
  const meeting = new Int32Array(channels * area).fill(-1);
  for (let place = 0; place + 1 < taken * area; place += 2) {
    const [first, second] = [place, place + 1].map((at) => ({
      channel: at % taken,
      index: (at % taken) * area + Math.floor(at / taken),
    }));
    if (first!.channel >= channels || second!.channel >= channels) continue; // a channel of zeros
    meeting[first!.index] = second!.index;
    meeting[second!.index] = first!.index;
  }
  return meeting;
}

/** With an odd number of channels those that meet lie up to a whole row apart. */
const LONGEST_ODD = 512;

/** Each even one with the next. */
function neighbours(count: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => {
    const other = i % 2 === 0 ? i + 1 : i - 1;
    return other < count ? other : -1;
  });
}
