import { roundHalfToEven, saturate } from '../numeric/rounding.ts';

/** The values a tensor was seen to take, or shall be able to take. */
export interface TensorRange {
  readonly min: number;
  readonly max: number;
}

/** One scale and zero point for a whole tensor of uint8 activations. */
export interface ActivationParameters {
  /** A float32 value. */
  readonly scale: number;
  /** In [0, 255]; dequantizes to exactly 0. */
  readonly zeroPoint: number;
}

export const UINT8_MAX = 255;

/**
 * Asymmetric uint8 parameters that cover `range`, widened to hold zero (padding and ReLU need an
 * exact zero; Jacob et al. 2018, section 2.1). A range without negative values gets zero point 0. An
 * empty range gets that of [0, 1]: with scale 1, which onnxruntime's compute_scale_zp gives, the bias of the
 * layer that reads it would be rounded in steps of whole weights. `limit` is the bound of a Clip
 * before the tensor: the largest code never dequantizes to more, or onnxruntime keeps the Clip.
 */
export function activationParameters(range: TensorRange, limit = Infinity): ActivationParameters {
  const low = Math.min(range.min, 0);
  const high = Math.min(Math.max(range.max, 0), limit);
  let scale = Math.fround((high - low) / UINT8_MAX);
  if (scale === 0) return { scale: EMPTY_SCALE, zeroPoint: 0 };
  if (Math.fround(scale * UINT8_MAX) > limit) scale = previousFloat(scale);
  return { scale, zeroPoint: saturate(roundHalfToEven(-low / scale), 0, UINT8_MAX) + 0 };
}

const EMPTY_SCALE = Math.fround(1 / UINT8_MAX);

/** The range a Relu, Clip or nothing leaves of `range`. */
export function clampRange(range: TensorRange, low: number, high: number): TensorRange {
  return { min: saturate(range.min, low, high), max: saturate(range.max, low, high) };
}

function previousFloat(value: number): number {
  const bits = new Uint32Array(1);
  const float = new Float32Array(bits.buffer);
  float[0] = value;
  bits[0] = bits[0]! - 1; // positive finite values order like their bits
  return float[0];
}
