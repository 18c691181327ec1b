import type { Tensor } from '@tensorflow/tfjs-node';
import { cpuHasAvx512 } from '../benchmark/machine.ts';
import { ONE_DNN_LABEL, withFallback, type KernelTools } from './kernel-tools.ts';
import type { NativeOperations, OperationAttribute } from './native-operations.ts';
import { createTapProducts } from './tap-products.ts';
import { paddedWindow, turnedWindow, type ConvolutionWindow } from './windows.ts';

export interface ConvolutionKernels {
  /** float32 weights as both a convolution and its input gradient take them: the same, or a copy. */
  convolutionWeights(weightsHwio: Tensor, window: ConvolutionWindow): Tensor;
  convolution(x: Tensor, weightsHwio: Tensor, window: ConvolutionWindow): Tensor;
  /** The sum with a bias [M], in one pass where there is a kernel for it. */
  convolutionWithBias(
    x: Tensor,
    weightsHwio: Tensor,
    bias: Tensor,
    window: ConvolutionWindow,
  ): Tensor;
  convolutionInputGradient(
    dy: Tensor,
    weightsHwio: Tensor,
    window: ConvolutionWindow,
    inputShape: readonly number[],
  ): Tensor;
  convolutionWeightGradient(
    dy: Tensor,
    x: Tensor,
    window: ConvolutionWindow,
    weightShape: readonly number[],
  ): Tensor;
}

/** `computeType`: the type that weights are multiplied in. */
export function createConvolutionKernels(
  tools: KernelTools,
  native: NativeOperations,
  computeType: number,
): ConvolutionKernels {
  const { single, cast, inType, resultIn, withShape } = tools;
  const { attribute, typeOf } = native;
  const products = createTapProducts(tools, native, cpuHasAvx512());
  const convolutionAttributes = (window: ConvolutionWindow, x: Tensor): OperationAttribute[] => [
    ...tools.windowAttributes(window, x),
    attribute('dilations', 'INT', [1, 1, 1, 1]),
  ];
  const convolution: ConvolutionKernels['convolution'] = (x, weights, window) =>
    inType(weights, typeOf(x), (typedWeights) =>
      single(
        window.depthwise ? 'DepthwiseConv2dNative' : 'Conv2D',
        convolutionAttributes(window, x),
        [x, typedWeights],
      ),
    );
  const convolutionThenBias: ConvolutionKernels['convolutionWithBias'] = (
    x,
    weights,
    bias,
    window,
  ) => {
    const z = convolution(x, weights, window);
    const sum = tools.biasAdd(z, bias);
    z.dispose();
    return sum;
  };
  const inOnePass = withFallback<Parameters<typeof convolutionThenBias>, Tensor>(
    (x, weights, bias, window) =>
      single(
        '_MklNativeConv2DWithBias',
        [...convolutionAttributes(window, x), attribute('_kernel', 'STRING', ONE_DNN_LABEL)],
        [x, weights, bias],
      ),
    convolutionThenBias,
  );
  const depthwiseInputGradient: ConvolutionKernels['convolutionInputGradient'] = (
    dy,
    weights,
    window,
    inputShape,
  ) => {
    if (typeOf(dy) === native.bfloat16 && window.stride === 1) {
      // 3.2 ms against 11.8 in float32 and back, and 4.9 by the kernel for it (batch 32, 112 x 112, 32 channels).
      const turned = withShape([0, 1], (axes) =>
        single(
          'ReverseV2',
          [tools.typed(weights), native.type('Tidx', native.int32)],
          [weights, axes],
        ),
      );
      const dx = convolution(dy, turned, turnedWindow(window));
      turned.dispose();
      return dx;
    }
    // In bfloat16 this kernel takes ten times as long with a stride.
    return inType(dy, native.float32, (exact) =>
      resultIn(
        withShape(inputShape, (shape) =>
          single('DepthwiseConv2dNativeBackpropInput', convolutionAttributes(window, exact), [
            ...[shape, weights, exact],
          ]),
        ),
        typeOf(dy),
      ),
    );
  };
  return {
    // What needs them in another type casts them: they are few.
    convolutionWeights: (weights, { depthwise }) =>
      cast(weights, depthwise ? native.float32 : computeType),
    convolution,
    convolutionWithBias: (x, weights, bias, window) =>
      typeOf(x) === native.float32 && !window.depthwise
        ? inOnePass(x, weights, bias, window)
        : convolutionThenBias(x, weights, bias, window),
    convolutionInputGradient: (dy, weights, window, inputShape) =>
      window.depthwise
        ? depthwiseInputGradient(dy, weights, window, inputShape)
        : inType(weights, typeOf(dy), (typedWeights) => {
            const padded = paddedWindow(window);
            const gradient = withShape(padded.shapeOf(inputShape), (shape) =>
              single('Conv2DBackpropInput', convolutionAttributes(padded.window, dy), [
                ...[shape, typedWeights, dy],
              ]),
            );
            if (padded.window === window) return gradient;
            const inside = tools.part(
              gradient,
              window.padding.top,
              window.padding.left,
              inputShape,
            );
            gradient.dispose();
            return inside;
          }),
    convolutionWeightGradient: (dy, x, window, weightShape) => {
      if (products.suit(dy, window, weightShape)) {
        return resultIn(products.weightGradient(dy, x, window, weightShape), native.float32);
      }
      return withShape(weightShape, (shape) => {
        if (window.depthwise) {
          return inType(dy, native.float32, (exactDy) =>
            inType(x, native.float32, (exactX) =>
              single(
                'DepthwiseConv2dNativeBackpropFilter',
                convolutionAttributes(window, exactDy),
                [exactX, shape, exactDy],
              ),
            ),
          );
        }
        const padded = paddedWindow(window);
        const from = padded.window === window ? x.clone() : tools.withPadding(x, window, 0);
        const gradient = single('Conv2DBackpropFilter', convolutionAttributes(padded.window, dy), [
          from,
          shape,
          dy,
        ]);
        from.dispose();
        return resultIn(gradient, native.float32);
      });
    },
  };
}
