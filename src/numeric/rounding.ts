/**
 * The nearest integer; halves go to the even neighbour, as ONNX QuantizeLinear rounds
 * (`Math.round` rounds halves up). Beside 1.5 · 2^52 float64 has no fractions left, and the sum is
 * rounded to even: no branch.
 */
export function roundHalfToEven(value: number): number {
  return Math.abs(value) < 2 ** 51 ? value + MAGIC - MAGIC : Math.round(value);
}

const MAGIC = 1.5 * 2 ** 52;

/**
 * The nearest integer of [low, high], both integers below 2^51; halves go to the even neighbour. The
 * same as rounding first, at half the time.
 */
export function roundWithin(value: number, low: number, high: number): number {
  return saturate(value, low, high) + MAGIC - MAGIC;
}

/** `value` limited to [low, high]. */
export function saturate(value: number, low: number, high: number): number {
  return value < low ? low : value > high ? high : value;
}
