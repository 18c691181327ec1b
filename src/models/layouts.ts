/** [kernel height, kernel width, inputs, outputs]; a depthwise kernel has one output an input. */
type KernelSize = readonly [number, number, number, number];

/** PyTorch's [out, in, kh, kw] (depthwise [channels, 1, kh, kw]) → [kh, kw, in, out] (depthwise [kh, kw, channels, 1]). */
export function convolutionFromTorch(
  data: Float32Array,
  size: KernelSize,
  depthwise: boolean,
): Float32Array {
  const result = new Float32Array(data.length);
  eachConvolutionWeight(size, depthwise, (hwio, oihw) => {
    result[hwio] = data[oihw]!; // both arrays are as long as the product of the sizes
  });
  return result;
}

/** The other way: [kh, kw, in, out] → [out, in, kh, kw], which is ONNX's layout as well. */
export function convolutionToTorch(
  data: Float32Array,
  size: KernelSize,
  depthwise: boolean,
): Float32Array {
  const result = new Float32Array(data.length);
  eachConvolutionWeight(size, depthwise, (hwio, oihw) => {
    result[oihw] = data[hwio]!; // as above
  });
  return result;
}

function eachConvolutionWeight(
  [kernelHeight, kernelWidth, inputs, outputs]: KernelSize,
  depthwise: boolean,
  visit: (hwioIndex: number, oihwIndex: number) => void,
): void {
  const area = kernelHeight * kernelWidth;
  let index = 0;
  for (let k = 0; k < area; k += 1) {
    for (let i = 0; i < inputs; i += 1) {
      for (let o = 0; o < outputs; o += 1) {
        visit(index, (depthwise ? i : o * inputs + i) * area + k);
        index += 1;
      }
    }
  }
}

/** [rows, columns] → [columns, rows]: dense weights between [in, out] and PyTorch's or Gemm's [out, in]. */
export function transpose(data: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(data.length);
  for (let r = 0; r < rows; r += 1) {
    for (let c = 0; c < columns; c += 1) result[c * rows + r] = data[r * columns + c]!; // in range
  }
  return result;
}

/**
 * Reorders the rows of a dense weight that follows a flatten: row (h, w, c) of a flattened [H, W, C]
 * ↔ row (c, h, w) of a flattened [C, H, W]. data: [H * W * C, columns].
 */
export function reorderFlattenedRows(
  data: Float32Array,
  { height, width, channels }: { height: number; width: number; channels: number },
  direction: 'hwc-to-chw' | 'chw-to-hwc',
): Float32Array {
  const columns = data.length / (height * width * channels);
  const result = new Float32Array(data.length);
  const area = height * width;
  for (let p = 0; p < area; p += 1) {
    for (let c = 0; c < channels; c += 1) {
      const hwc = p * channels + c;
      const chw = c * area + p;
      const [from, to] = direction === 'hwc-to-chw' ? [hwc, chw] : [chw, hwc];
      result.set(data.subarray(from * columns, (from + 1) * columns), to * columns);
    }
  }
  return result;
}
