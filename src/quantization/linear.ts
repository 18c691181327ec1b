import { roundWithin } from '../numeric/rounding.ts';
import { UINT8_MAX, type ActivationParameters } from './parameters.ts';

/**
 * ONNX QuantizeLinear to uint8: saturate(round(x / scale) + zero point), the division in float32 and
 * halves to even, so that the codes are onnxruntime's own (opset 13).
 */
export function quantizeLinear(
  values: Float32Array,
  { scale, zeroPoint }: ActivationParameters,
): Uint8Array {
  // Float64 division rounded to float32 equals float32 division: 53 >= 2 * 24 + 2 bits (Figueroa 1995).
  return Uint8Array.from(
    values,
    (value) =>
      zeroPoint + roundWithin(Math.fround(value / scale), -zeroPoint, UINT8_MAX - zeroPoint),
  );
}

/** ONNX DequantizeLinear of uint8: (q - zero point) * scale, in float32. */
export function dequantizeLinear(
  codes: Uint8Array,
  { scale, zeroPoint }: ActivationParameters,
): Float32Array {
  return Float32Array.from(codes, (code) => (code - zeroPoint) * scale);
}
