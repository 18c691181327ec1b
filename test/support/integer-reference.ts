import { roundHalfToEven, saturate } from '../../src/numeric/rounding.ts';
import type { ActivationParameters } from '../../src/quantization/parameters.ts';

/** A uint8 tensor with its parameters; `dims` as in ONNX. */
export interface IntegerTensor {
  readonly codes: Uint8Array;
  readonly dims: readonly number[];
  readonly parameters: ActivationParameters;
}

export interface IntegerConv {
  readonly input: IntegerTensor;
  readonly weights: Int8Array;
  /** [M, C/group, kH, kW] */
  readonly weightDims: readonly number[];
  readonly weightScales: Float32Array;
  readonly bias: Int32Array;
  readonly strides: readonly [number, number];
  /** top, left, bottom, right */
  readonly pads: readonly [number, number, number, number];
  readonly group: number;
  readonly output: ActivationParameters;
}

/** QLinearConv by its definition (ONNX opset 10): int32 sums, then one scaling to uint8. */
export function integerConv(conv: IntegerConv): Uint8Array {
  const [batch = 0, channels = 0, height = 0, width = 0] = conv.input.dims;
  const [outputs = 0, perGroup = 0, kernelHeight = 0, kernelWidth = 0] = conv.weightDims;
  const [strideY, strideX] = conv.strides;
  const [top, left, bottom, right] = conv.pads;
  const outHeight = Math.floor((height + top + bottom - kernelHeight) / strideY) + 1;
  const outWidth = Math.floor((width + left + right - kernelWidth) / strideX) + 1;
  const result: number[] = [];
  for (let n = 0; n < batch; n += 1) {
    for (let m = 0; m < outputs; m += 1) {
      const firstChannel = Math.floor(m / (outputs / conv.group)) * perGroup;
      for (let y = 0; y < outHeight; y += 1) {
        for (let x = 0; x < outWidth; x += 1) {
          let sum = conv.bias[m]!;
          for (let c = 0; c < perGroup; c += 1) {
            for (let ky = 0; ky < kernelHeight; ky += 1) {
              for (let kx = 0; kx < kernelWidth; kx += 1) {
                const row = y * strideY + ky - top;
                const column = x * strideX + kx - left;
                if (row < 0 || row >= height || column < 0 || column >= width) continue;
                const at = ((n * channels + firstChannel + c) * height + row) * width + column;
                const weightAt = ((m * perGroup + c) * kernelHeight + ky) * kernelWidth + kx;
                const value = conv.input.codes[at]! - conv.input.parameters.zeroPoint;
                sum += value * conv.weights[weightAt]!;
              }
            }
          }
          result.push(requantize(sum, conv, m));
        }
      }
    }
  }
  return Uint8Array.from(result);
}

function requantize(sum: number, conv: IntegerConv, channel: number): number {
  const weightScale = conv.weightScales[conv.weightScales.length === 1 ? 0 : channel]!;
  const scale = (conv.input.parameters.scale * weightScale) / conv.output.scale;
  return saturate(roundHalfToEven(sum * scale) + conv.output.zeroPoint, 0, 255);
}

/** Gemm with integer input and float output: [N, K] x [M, K] → float32 [N, M]. */
export function integerGemm(gemm: {
  readonly input: IntegerTensor;
  /** [M, K] */
  readonly weights: Int8Array;
  readonly weightScales: Float32Array;
  readonly bias: Int32Array;
}): Float32Array {
  const [rows = 0, inner = 0] = gemm.input.dims;
  const columns = gemm.bias.length;
  const { scale, zeroPoint } = gemm.input.parameters;
  const result = new Float32Array(rows * columns);
  for (let n = 0; n < rows; n += 1) {
    for (let m = 0; m < columns; m += 1) {
      let sum = gemm.bias[m]!;
      for (let k = 0; k < inner; k += 1) {
        sum += (gemm.input.codes[n * inner + k]! - zeroPoint) * gemm.weights[m * inner + k]!;
      }
      const weightScale = gemm.weightScales[gemm.weightScales.length === 1 ? 0 : m]!;
      result[n * columns + m] = sum * scale * weightScale;
    }
  }
  return result;
}

/** QLinearAdd (onnxruntime contrib operator): dequantize, add, quantize. */
export function integerAdd(
  a: IntegerTensor,
  b: IntegerTensor,
  output: ActivationParameters,
): Uint8Array {
  const value = (tensor: IntegerTensor, i: number): number =>
    (tensor.codes[i]! - tensor.parameters.zeroPoint) * tensor.parameters.scale;
  return Uint8Array.from(a.codes, (_, i) =>
    saturate(
      roundHalfToEven((value(a, i) + value(b, i)) / output.scale) + output.zeroPoint,
      0,
      255,
    ),
  );
}

/** QLinearGlobalAveragePool: [N, C, H, W] → [N, C, 1, 1]. */
export function integerGlobalAverage(
  input: IntegerTensor,
  output: ActivationParameters,
): Uint8Array {
  const [batch = 0, channels = 0, height = 0, width = 0] = input.dims;
  const area = height * width;
  return Uint8Array.from({ length: batch * channels }, (_, i) => {
    const codes = input.codes.subarray(i * area, (i + 1) * area);
    const sum = codes.reduce((total, code) => total + code - input.parameters.zeroPoint, 0);
    const mean = (sum * input.parameters.scale) / (area * output.scale);
    return saturate(roundHalfToEven(mean) + output.zeroPoint, 0, 255);
  });
}
