/** Floats that weights files hold, little-endian: IEEE 754 of three widths, and bfloat16. */
export type FloatFormat = 'F16' | 'BF16' | 'F32' | 'F64';

export const BYTES_OF_FLOAT: Readonly<Record<FloatFormat, number>> = {
  F16: 2,
  BF16: 2,
  F32: 4,
  F64: 8,
};

/** float32 of the whole buffer, which float32 itself keeps; wider numbers are rounded. */
export function decodeFloats(buffer: ArrayBuffer, format: FloatFormat): Float32Array {
  switch (format) {
    case 'F32':
      return new Float32Array(buffer);
    case 'F64':
      return Float32Array.from(new Float64Array(buffer));
    case 'F16':
      return Float32Array.from(new Uint16Array(buffer), float16ToNumber);
    case 'BF16': {
      // A bfloat16 is the upper half of a float32.
      const bits = Uint32Array.from(new Uint16Array(buffer), (half) => half << 16);
      return new Float32Array(bits.buffer);
    }
  }
}

/** IEEE 754 binary16. */
function float16ToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
