import type { Padding } from '../models/network.ts';

export interface Window {
  readonly kernelSize: number;
  readonly stride: number;
  readonly padding: Padding;
  /** Height and width of the input. */
  readonly inputShape: { readonly height: number; readonly width: number };
}

export interface ConvolutionWindow extends Window {
  readonly depthwise: boolean;
}

/**
 * The same window over an image whose padding is part of it. The gradients of a convolution with
 * explicit padding are not among oneDNN's kernels: they take 1.3 to 8 times as long, in bfloat16 a hundred.
 */
export function paddedWindow<W extends Window>(
  window: W,
): {
  readonly window: W;
  readonly shapeOf: (shape: readonly number[]) => readonly number[];
} {
  if (tensorflowPadding(window).kind !== 'EXPLICIT') return { window, shapeOf: (shape) => shape };
  const { top, bottom, left, right } = window.padding;
  const { height, width } = window.inputShape;
  return {
    window: {
      ...window,
      padding: { top: 0, bottom: 0, left: 0, right: 0 },
      inputShape: { height: height + top + bottom, width: width + left + right },
    },
    shapeOf: ([count = 1, rows = 1, columns = 1, channels = 1]) => [
      ...[count, rows + top + bottom, columns + left + right, channels],
    ],
  };
}

/**
 * The window over the gradient by the output of a convolution of stride 1 whose weights, turned by 180 degrees, give
 * the gradient by its input. No side may be padded by as much as the kernel's size.
 */
export function turnedWindow<W extends Window>(window: W): W {
  const reach = window.kernelSize - 1;
  const { top, bottom, left, right } = window.padding;
  const { height, width } = window.inputShape;
  return {
    ...window,
    padding: { top: reach - top, bottom: reach - bottom, left: reach - left, right: reach - right },
    inputShape: { height: height + top + bottom - reach, width: width + left + right - reach },
  };
}

/** VALID and SAME where they mean the same zeros, since their kernels are the best tuned; else EXPLICIT. */
export function tensorflowPadding({ padding, kernelSize, stride, inputShape }: Window): {
  kind: 'VALID' | 'SAME' | 'EXPLICIT';
  pads: readonly number[];
} {
  const { top, bottom, left, right } = padding;
  const pads = [0, 0, top, bottom, left, right, 0, 0];
  if (top + bottom + left + right === 0) return { kind: 'VALID', pads };
  const isSame = (size: number, before: number, after: number): boolean => {
    const total = Math.max((Math.ceil(size / stride) - 1) * stride + kernelSize - size, 0);
    return before === Math.floor(total / 2) && after === total - before;
  };
  return isSame(inputShape.height, top, bottom) && isSame(inputShape.width, left, right)
    ? { kind: 'SAME', pads }
    : { kind: 'EXPLICIT', pads };
}
