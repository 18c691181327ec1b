/**
 * The nearest integer; halves go to the even neighbour, as ONNX QuantizeLinear rounds
 * (`Math.round` rounds halves up).
 */
export function roundHalfToEven(value: number): number {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** `value` limited to [low, high]. */
export function saturate(value: number, low: number, high: number): number {
  return value < low ? low : value > high ? high : value;
}
