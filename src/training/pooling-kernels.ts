import type { Tensor } from '@tensorflow/tfjs-node';
import { ONE_DNN_LABEL, withFallback, type KernelTools } from './kernel-tools.ts';
import type { NativeOperations, OperationAttribute } from './native-operations.ts';
import { paddedWindow, type Window } from './windows.ts';

export interface PoolingKernels {
  maxPool(x: Tensor, window: Window): Tensor;
  maxPoolTraining(x: Tensor, window: Window): TrainedPool;
}

export interface TrainedPool {
  readonly y: Tensor;
  /** The gradient by x from that by y, once: frees what it needed. */
  readonly gradient: (dy: Tensor) => Tensor;
}

/**
 * For training the pair of oneDNN, where the first keeps which input each maximum was (a byte an output)
 * for the second. TensorFlow does not choose it by itself, and its own gradient, which looks for the
 * maxima again, takes 25 to 50 times as long: 212 against 8 ms for the pool of a ResNet-50 and 32 images
 * on two cores, in bfloat16 224 against 5. It stands in where TensorFlow was built without oneDNN.
 */
export function createPoolingKernels(tools: KernelTools, native: NativeOperations): PoolingKernels {
  const { single, withShape } = tools;
  const { attribute } = native;
  const poolAttributes = (window: Window, x: Tensor): OperationAttribute[] => [
    ...tools.windowAttributes(window, x),
    attribute('ksize', 'INT', [1, window.kernelSize, window.kernelSize, 1]),
  ];
  const oneDnn = [
    attribute('workspace_enabled', 'BOOL', true),
    attribute('_kernel', 'STRING', ONE_DNN_LABEL),
  ];

  const withOneDnn = (x: Tensor, window: Window): TrainedPool => {
    const padded = paddedWindow(window);
    const isPadded = padded.window !== window;
    const from = isPadded ? tools.withPadding(x, window, LOWEST) : x;
    const attributes = [...poolAttributes(padded.window, x), ...oneDnn];
    const [y, workspace] = native.execute('_MklNativeMaxPool', attributes, [from], 2) as [
      Tensor,
      Tensor,
    ];
    if (isPadded) from.dispose();
    const { shape } = x;
    const emptyType = native.type('dtype', native.typeOf(x));
    return {
      y,
      gradient(dy) {
        // Of the pool's own input only the shape is read, so memory that nobody writes serves.
        const like = withShape(padded.shapeOf(shape), (dims) =>
          single('Empty', [emptyType, attribute('init', 'BOOL', false)], [dims]),
        );
        const gradient = single('_MklNativeMaxPoolGrad', attributes, [like, dy, dy, workspace]);
        like.dispose();
        workspace.dispose();
        if (!isPadded) return gradient;
        const inside = tools.part(gradient, window.padding.top, window.padding.left, shape);
        gradient.dispose();
        return inside;
      },
    };
  };
  const withTensorflow = (x: Tensor, window: Window): TrainedPool => {
    const attributes = poolAttributes(window, x);
    const y = single('MaxPool', attributes, [x]);
    const kept = [x.clone(), y.clone()];
    return {
      y,
      gradient(dy) {
        const dx = single('MaxPoolGrad', attributes, [...kept, dy]);
        for (const tensor of kept) tensor.dispose();
        return dx;
      },
    };
  };

  return {
    maxPool: (x, window) => single('MaxPool', poolAttributes(window, x), [x]),
    maxPoolTraining: withFallback(withOneDnn, withTensorflow),
  };
}

/** No activation is below it, and bfloat16 holds it. */
const LOWEST = -3e38;
