import type { Tensor } from '@tensorflow/tfjs-node';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import type { NativeOperations, OperationAttribute } from './native-operations.ts';
import { tensorflowPadding, type Window } from './windows.ts';

/** What kernels are written with: operations of one result, types, padding. Inputs are never disposed. */
export type KernelTools = ReturnType<typeof createKernelTools>;

export function createKernelTools(tf: Tensorflow, native: NativeOperations) {
  const { attribute, typeOf } = native;
  const typed = (tensor: Tensor): OperationAttribute => native.type('T', typeOf(tensor));
  const nhwc = attribute('data_format', 'STRING', 'NHWC');
  // The kernels' results have the rank their names promise; tfjs types know nothing of them.
  const single = (
    name: string,
    attributes: readonly OperationAttribute[],
    inputs: readonly Tensor[],
  ): Tensor => native.execute(name, attributes, inputs, 1)[0]!; // one was asked for
  const cast = (x: Tensor, to: number): Tensor => {
    const from = typeOf(x);
    if (from === to) return x.clone();
    const types = [native.type('SrcT', from), native.type('DstT', to)];
    return single('Cast', [...types, attribute('Truncate', 'BOOL', false)], [x]);
  };
  const withShape = <T>(shape: readonly number[], use: (shapeTensor: Tensor) => T): T => {
    const shapeTensor = tf.tensor1d([...shape], 'int32');
    const result = use(shapeTensor);
    shapeTensor.dispose();
    return result;
  };
  const inType = <T>(tensor: Tensor, type: number, use: (cast: Tensor) => T): T => {
    if (typeOf(tensor) === type) return use(tensor);
    const other = cast(tensor, type);
    const result = use(other);
    other.dispose();
    return result;
  };
  return {
    typed,
    nhwc,
    single,
    cast,
    /** `use` with `tensor` in another type for as long as it takes. */
    inType,
    /** In the type of x; bias: [C]. */
    biasAdd: (x: Tensor, bias: Tensor): Tensor =>
      inType(bias, typeOf(x), (typedBias) => single('BiasAdd', [typed(x), nhwc], [x, typedBias])),
    /** `tensor` itself, or in its place another of that type. */
    resultIn: (tensor: Tensor, type: number): Tensor => {
      if (typeOf(tensor) === type) return tensor;
      const result = cast(tensor, type);
      tensor.dispose();
      return result;
    },
    windowAttributes(window: Window, x: Tensor): OperationAttribute[] {
      const { kind, pads } = tensorflowPadding(window);
      return [
        typed(x),
        attribute('strides', 'INT', [1, window.stride, window.stride, 1]),
        attribute('padding', 'STRING', kind),
        nhwc,
        ...(kind === 'EXPLICIT' ? [attribute('explicit_paddings', 'INT', pads)] : []),
      ];
    },
    /** `use` with an int32 tensor of these dimensions. */
    withShape,
    reshaped: (x: Tensor, shape: readonly number[]): Tensor =>
      withShape(shape, (dims) =>
        single('Reshape', [typed(x), native.type('Tshape', native.int32)], [x, dims]),
      ),
    /** Of matrices, in their type. */
    product: (a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor =>
      single(
        'MatMul',
        [
          typed(a),
          attribute('transpose_a', 'BOOL', transposeA),
          attribute('transpose_b', 'BOOL', transposeB),
        ],
        [a, b],
      ),
    /** The image with `value` around it. */
    withPadding(x: Tensor, { padding }: Window, value: number): Tensor {
      const { top, bottom, left, right } = padding;
      const pads = tf.tensor2d([0, 0, top, bottom, left, right, 0, 0], [4, 2], 'int32');
      const exact = tf.scalar(value);
      const filling = cast(exact, typeOf(x));
      const types = [typed(x), native.type('Tpaddings', native.int32)];
      const result = single('PadV2', types, [x, pads, filling]);
      for (const tensor of [pads, exact, filling]) tensor.dispose();
      return result;
    },
    /** The part of the image of that shape whose first place is `top`, `left`. */
    part(x: Tensor, top: number, left: number, shape: readonly number[]): Tensor {
      return withShape([0, top, left, 0], (begin) =>
        withShape(shape, (size) =>
          single('Slice', [typed(x), native.type('Index', native.int32)], [x, begin, size]),
        ),
      );
    },
  };
}

/**
 * `preferred`, or `fallback` from the moment on that TensorFlow turns out to have been built without it.
 * Any other failure, such as a lack of memory, is thrown: it would come back or hide behind slow kernels.
 */
export function withFallback<Parameters extends readonly unknown[], Result>(
  preferred: (...parameters: Parameters) => Result,
  fallback: (...parameters: Parameters) => Result,
): (...parameters: Parameters) => Result {
  let isPreferred = true;
  return (...parameters) => {
    if (!isPreferred) return fallback(...parameters);
    try {
      return preferred(...parameters);
    } catch (cause) {
      if (!isMissing(cause)) throw cause;
      isPreferred = false;
      return fallback(...parameters);
    }
  };
}

/** TF_NOT_FOUND, TF_UNIMPLEMENTED and, for what a kernel does not do, TF_INVALID_ARGUMENT (tf_status.h). */
const MISSING_STATUSES = new Set([3, 5, 12]);

function isMissing(cause: unknown): boolean {
  const status = /^Invalid TF_Status: (\d+)/.exec(cause instanceof Error ? cause.message : '');
  return MISSING_STATUSES.has(Number(status?.[1]));
}

/** What TensorFlow itself adds where it puts a oneDNN kernel in place of its own. */
export const ONE_DNN_LABEL = 'MklNameChangeOp';
