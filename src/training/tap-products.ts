import type { Tensor } from '@tensorflow/tfjs-node';
import { elementCount } from '../models/network.ts';
import type { KernelTools } from './kernel-tools.ts';
import type { NativeOperations } from './native-operations.ts';
import type { ConvolutionWindow } from './windows.ts';

/**
 * In float32 without AVX512: weights up to which products beat oneDNN's kernel however many the positions
 * (outputs of 14 x 14, batch 32, two cores, in ms: 96 to 576 channels 8.2 against 5.9, 256 to 1024 36 against 49).
 */
const MOST_WEIGHTS = 60_000;
/** Of the larger of input and output; below, the operations around a product take what it saves. */
const FEWEST_VALUES = 1e6;
/** Output positions of a batch up to which products beat oneDNN's own kernel in bfloat16. */
const MOST_POSITIONS = 2048;
/** Without taps to cut out: outputs of 14 x 14, batch 32, 256 to 1024 channels, 10.0 against 8.6 ms. */
const MOST_POSITIONS_OF_1X1 = 8192;

export interface TapProducts {
  /** Whether the weight gradient of the convolution is faster as products. */
  readonly suit: (dy: Tensor, window: ConvolutionWindow, weightShape: readonly number[]) => boolean;
  /** [kH, kW, C, M] in the type of dy [N, H', W', M]; x: [N, H, W, C]. */
  readonly weightGradient: (
    dy: Tensor,
    x: Tensor,
    window: ConvolutionWindow,
    weightShape: readonly number[],
  ) => Tensor;
}

/**
 * A convolution's weight gradient as one matrix product a tap: dW[i, j] = Xᵀ · dY, where X [N · H' · W', C]
 * holds what tap (i, j) meets at each output position. Where positions are few and channels many, oneDNN's
 * kernel in bfloat16 takes half as long again (outputs of 7 x 7, batch 32, two cores, in ms: 1 x 1, 512 to
 * 2048 channels, 13.0 against 9.1; 3 x 3, 512 to 512, 35 against 22).
 */
export function createTapProducts(
  tools: KernelTools,
  native: NativeOperations,
  hasAvx512: boolean,
): TapProducts {
  const { product, reshaped, single, typed } = tools;
  const { attribute, typeOf } = native;
  return {
    suit(dy, { depthwise, stride, kernelSize }, weightShape) {
      // With gaps between them inputs are gathered too slowly: 68 against 51 ms.
      if (depthwise || stride !== 1) return false;
      const positions = elementCount(dy.shape.slice(0, 3));
      if (typeOf(dy) === native.bfloat16) {
        return positions <= (kernelSize === 1 ? MOST_POSITIONS_OF_1X1 : MOST_POSITIONS);
      }
      const isSmall = positions <= MOST_POSITIONS || elementCount(weightShape) <= MOST_WEIGHTS;
      const [, , channels = 0, filters = 0] = weightShape;
      const isWorthIt = positions * Math.max(channels, filters) >= FEWEST_VALUES;
      return !hasAvx512 && kernelSize === 1 && isSmall && isWorthIt;
    },
    weightGradient(dy, x, window, weightShape) {
      const { kernelSize, padding } = window;
      const [, , channels = 1, filters = 1] = weightShape;
      const isPadded = Object.values(padding).some((size) => size > 0);
      const from = isPadded ? tools.withPadding(x, window, 0) : x.clone();
      const flatDy = reshaped(dy, [-1, filters]);
      const taps = Array.from({ length: kernelSize * kernelSize }, (_, tap) => {
        const row = Math.floor(tap / kernelSize);
        const metShape = [...dy.shape.slice(0, 3), channels];
        const met =
          kernelSize === 1 ? from.clone() : tools.part(from, row, tap % kernelSize, metShape);
        const flat = reshaped(met, [-1, channels]);
        const tapProduct = product(flat, flatDy, true, false);
        met.dispose();
        flat.dispose();
        return tapProduct;
      });
      const stacked = single(
        'Pack',
        [typed(taps[0]!), attribute('N', 'INT', taps.length), attribute('axis', 'INT', 0)], // one at least
        taps,
      );
      const gradient = reshaped(stacked, weightShape);
      for (const tensor of [from, flatDy, stacked, ...taps]) tensor.dispose();
      return gradient;
    },
  };
}
