/** One axis of a window with stride 2. */
export interface StridedAxis {
  /** Of the image, pixels. */
  readonly size: number;
  readonly kernelSize: number;
  /** Zeros before and after the image. */
  readonly padBefore: number;
  readonly padAfter: number;
}

/** The same axis in blocks of two pixels, where the window moves by one. */
export interface BlockedAxis {
  /** Zeros before and after the image, so that windows begin and end with blocks. */
  readonly padBefore: number;
  readonly padAfter: number;
  /** The window's first pixel in its first block: 0 or 1. */
  readonly offset: number;
  /** Blocks of a window. */
  readonly kernelSize: number;
}

/** Null where the last pixels of the image belong to no window: blocks of them would have to be cut off. */
export function blockedAxis({
  size,
  kernelSize,
  padBefore,
  padAfter,
}: StridedAxis): BlockedAxis | null {
  const blocksBefore = Math.ceil(padBefore / 2);
  const offset = 2 * blocksBefore - padBefore;
  const blockedKernel = Math.ceil((offset + kernelSize) / 2);
  const windowCount = Math.floor((size + padBefore + padAfter - kernelSize) / 2) + 1;
  const after = 2 * (windowCount - 1 + blockedKernel) - size - 2 * blocksBefore;
  if (windowCount < 1 || after < 0) return null;
  return { padBefore: 2 * blocksBefore, padAfter: after, offset, kernelSize: blockedKernel };
}

/**
 * [M, C, kH, kW] over pixels → [M, 4 C, kH', kW'] over blocks, whose channels are ordered as ONNX's SpaceToDepth
 * leaves them: (row · 2 + column) · C + channel. Weights of pixels that the window does not reach are 0.
 */
export function blockWeights(
  values: Float32Array,
  [outputs = 0, channels = 0, height = 0, width = 0]: readonly number[],
  rows: BlockedAxis,
  columns: BlockedAxis,
): Float32Array {
  const area = rows.kernelSize * columns.kernelSize;
  const result = new Float32Array(outputs * 4 * channels * area);
  values.forEach((value, index) => {
    const column = (index % width) + columns.offset;
    const row = (Math.floor(index / width) % height) + rows.offset;
    const channel = Math.floor(index / (width * height)) % channels;
    const output = Math.floor(index / (width * height * channels));
    const blockChannel = ((row % 2) * 2 + (column % 2)) * channels + channel;
    const place = Math.floor(row / 2) * columns.kernelSize + Math.floor(column / 2);
    result[(output * 4 * channels + blockChannel) * area + place] = value;
  });
  return result;
}
