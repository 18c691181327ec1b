import type { Tensor } from '@tensorflow/tfjs-node';
import type { Activation } from '../models/network.ts';
import { BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM } from '../models/network.ts';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import { createConvolutionKernels, type ConvolutionKernels } from './convolution-kernels.ts';
import { createKernelTools, ONE_DNN_LABEL, withFallback } from './kernel-tools.ts';
import {
  nativeOperations,
  type OperationAttribute,
  type OperationObserver,
} from './native-operations.ts';
import type { Precision } from './precision.ts';
import { createPoolingKernels, type PoolingKernels } from './pooling-kernels.ts';

export interface KernelOptions {
  /** Of what convolutions and dense layers compute in; float32 by default. See `usablePrecision`. */
  readonly precision?: Precision;
  readonly observe?: OperationObserver;
}

export interface BatchNormInputs {
  readonly x: Tensor;
  readonly gamma: Tensor;
  readonly beta: Tensor;
  readonly movingMean: Tensor;
  readonly movingVariance: Tensor;
}

export interface BatchNormResult {
  readonly y: Tensor;
  /** Moving averages after this batch. */
  readonly mean: Tensor;
  readonly variance: Tensor;
  /** What the gradient kernel needs again. */
  readonly reserved: readonly [Tensor, Tensor, Tensor];
}

/**
 * TensorFlow's own fused kernels, which tfjs's layers do not reach (stock layers are five times slower).
 * Inputs are never disposed here; every result belongs to the caller. Layout is NHWC.
 *
 * A kernel works in the type of its activations, float32 or bfloat16, and gives activations and their
 * gradients in that type. Parameters and their gradients, and statistics, are float32 always; a product
 * of bfloat16 values is summed up in float32 (oneDNN's kernels).
 */
export interface Kernels extends ConvolutionKernels, PoolingKernels {
  readonly precision: Precision;
  /** In the type of the precision, for the convolutional part of a network. */
  toCompute(x: Tensor): Tensor;
  toFloat32(x: Tensor): Tensor;
  /** Takes gradients to the type that `x` has now. */
  toTypeOf(x: Tensor): (dy: Tensor) => Tensor;
  /**
   * Normalizes by the batch's statistics and moves the averages by PyTorch's momentum 0.1; then the
   * activation.
   */
  batchNormTraining(inputs: BatchNormInputs, activation: Activation): BatchNormResult;
  /** dx, dgamma, dbeta */
  batchNormGradient(
    dy: Tensor,
    x: Tensor,
    gamma: Tensor,
    reserved: BatchNormResult['reserved'],
  ): [Tensor, Tensor, Tensor];
  batchNormInference(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    mean: Tensor,
    variance: Tensor,
  ): Tensor;
  biasAdd(x: Tensor, bias: Tensor): Tensor;
  /** Sum of dy over all axes but the last. */
  biasGradient(dy: Tensor): Tensor;
  activate(x: Tensor, activation: Exclude<Activation, 'none'>): Tensor;
  /** From the activation's output, which is all it needs. */
  activationGradient(dy: Tensor, y: Tensor, activation: Exclude<Activation, 'none'>): Tensor;
  add(a: Tensor, b: Tensor): Tensor;
  multiply(a: Tensor, b: Tensor): Tensor;
  subtract(a: Tensor, b: Tensor): Tensor;
  /** Of float32 matrices, to float32; in bfloat16 where that is the precision. */
  matMul(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor;
  /** Loss of each image [N] and the gradient of their sum by the logits [N, C]. */
  softmaxCrossEntropy(logits: Tensor, targets: Tensor): [Tensor, Tensor];
  /** Uniform in [0, 1), the same for the same seed (Philox, TensorFlow's StatelessRandomUniform). */
  randomUniform(shape: readonly number[], seed: readonly [number, number]): Tensor;
}

export function createKernels(
  tf: Tensorflow,
  { precision = 'float32', observe }: KernelOptions = {},
): Kernels {
  const native = nativeOperations(tf, observe);
  const tools = createKernelTools(tf, native);
  const { single, typed, nhwc, cast, inType, product, reshaped, resultIn, withShape } = tools;
  const { attribute, typeOf } = native;
  const computeType = precision === 'bfloat16' ? native.bfloat16 : native.float32;
  const batchNormAttributes = (training: boolean, x: Tensor): OperationAttribute[] => [
    typed(x),
    native.type('U', native.float32),
    attribute('epsilon', 'FLOAT', BATCH_NORM_EPSILON),
    nhwc,
    attribute('is_training', 'BOOL', training),
  ];
  const activationKernel = { relu: 'Relu', relu6: 'Relu6' } as const;

  const trainBatchNorm = (
    name: string,
    { x, gamma, beta, movingMean, movingVariance }: BatchNormInputs,
    others: readonly OperationAttribute[],
  ): BatchNormResult => {
    const [y, mean, variance, r1, r2, r3] = native.execute(
      name,
      [
        ...batchNormAttributes(true, x),
        attribute('exponential_avg_factor', 'FLOAT', BATCH_NORM_MOMENTUM),
        ...others,
      ],
      [x, gamma, beta, movingMean, movingVariance],
      6,
    ) as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
    return { y, mean, variance, reserved: [r1, r2, r3] };
  };
  const activate = (x: Tensor, activation: Exclude<Activation, 'none'>): Tensor =>
    single(activationKernel[activation], [typed(x)], [x]);
  const batchNormThen = (inputs: BatchNormInputs, activation: Activation): BatchNormResult => {
    const result = trainBatchNorm('FusedBatchNormV3', inputs, []);
    if (activation === 'none') return result;
    const y = activate(result.y, activation);
    result.y.dispose();
    return { ...result, y };
  };
  const bitcast = (x: Tensor, to: number): Tensor =>
    single('Bitcast', [typed(x), native.type('type', to)], [x]);
  const minimum = (a: Tensor, b: Tensor): Tensor => single('Minimum', [typed(a)], [a, b]);
  /**
   * Of values that are not negative. As integers the bits of such bfloat16 values have the same order, and the
   * kernel takes 1.6 instead of 8.1 ms (25 MB, two cores). The NaN that x86 makes is negative and stays; another
   * shows in the running statistics.
   */
  const atMostSix = (x: Tensor): Tensor =>
    tf.tidy(() => {
      const six = cast(tf.scalar(6), typeOf(x));
      if (typeOf(x) !== native.bfloat16) return minimum(x, six);
      const [bits, bound] = [bitcast(x, native.int16), bitcast(six, native.int16)];
      return bitcast(minimum(bits, bound), native.bfloat16);
    });
  /** In one pass over the values, by oneDNN: the same values in two thirds of the time. */
  const batchNormRelu = (inputs: BatchNormInputs): BatchNormResult => {
    const { reserved, ...result } = trainBatchNorm('_MklNativeFusedBatchNormEx', inputs, [
      attribute('num_side_inputs', 'INT', 0),
      attribute('activation_mode', 'STRING', 'Relu'),
      attribute('_kernel', 'STRING', ONE_DNN_LABEL),
    ]);
    const [r1, r2, signs] = reserved;
    signs.dispose(); // which values were above 0: the gradient of ReLU reads that from y
    return { ...result, reserved: [r1, r2, tf.zeros([0])] };
  };
  const batchNormKernels = {
    none: (inputs: BatchNormInputs) => batchNormThen(inputs, 'none'),
    relu: withFallback(batchNormRelu, (inputs) => batchNormThen(inputs, 'relu')),
    // The other bound takes as long as both would, but batch norm is faster with ReLU than without.
    relu6: withFallback(
      (inputs: BatchNormInputs): BatchNormResult => {
        const result = batchNormRelu(inputs);
        const y = atMostSix(result.y);
        result.y.dispose();
        return { ...result, y };
      },
      (inputs) => batchNormThen(inputs, 'relu6'),
    ),
  };

  return {
    precision,
    toCompute: (x) => cast(x, computeType),
    toFloat32: (x) => cast(x, native.float32),
    toTypeOf: (x) => {
      const type = typeOf(x);
      return (dy) => cast(dy, type);
    },
    ...createConvolutionKernels(tools, native, computeType),
    batchNormTraining: (inputs, activation) => batchNormKernels[activation](inputs),
    batchNormGradient(dy, x, gamma, reserved) {
      const [dx, dgamma, dbeta, unused1, unused2] = native.execute(
        'FusedBatchNormGradV3',
        batchNormAttributes(true, x),
        [dy, x, gamma, ...reserved],
        5,
      ) as [Tensor, Tensor, Tensor, Tensor, Tensor];
      unused1.dispose();
      unused2.dispose();
      return [dx, dgamma, dbeta];
    },
    batchNormInference(x, gamma, beta, mean, variance) {
      const [y, ...rest] = native.execute(
        'FusedBatchNormV3',
        [...batchNormAttributes(false, x), attribute('exponential_avg_factor', 'FLOAT', 1)],
        [x, gamma, beta, mean, variance],
        6,
      ) as [Tensor, ...Tensor[]];
      for (const tensor of rest) tensor.dispose();
      return y;
    },
    biasAdd: tools.biasAdd,
    // Summed up in float32: a hundred thousand bfloat16 values lose the small ones.
    biasGradient: (dy) =>
      inType(dy, native.float32, (exact) => {
        const channels = exact.shape.at(-1) ?? 1;
        const rows = exact.size / channels;
        // As a product: TensorFlow's BiasAddGrad takes up to twice as long, on two cores 19 against 11 ms for 150 MB.
        return tf.tidy(() =>
          product(tf.fill([1, rows], 1), reshaped(exact, [rows, channels]), false, false).reshape([
            channels,
          ]),
        );
      }),
    activate,
    activationGradient: (dy, y, activation) =>
      single(`${activationKernel[activation]}Grad`, [typed(dy)], [dy, y]),
    ...createPoolingKernels(tools, native),
    add: (a, b) => single('AddV2', [typed(a)], [a, b]),
    multiply: (a, b) => inType(b, typeOf(a), (typedB) => single('Mul', [typed(a)], [a, typedB])),
    subtract: (a, b) => single('Sub', [typed(a)], [a, b]),
    matMul: (a, b, transposeA, transposeB) =>
      inType(a, computeType, (typedA) =>
        inType(b, computeType, (typedB) =>
          resultIn(product(typedA, typedB, transposeA, transposeB), native.float32),
        ),
      ),
    softmaxCrossEntropy: (logits, targets) =>
      native.execute('SoftmaxCrossEntropyWithLogits', [typed(logits)], [logits, targets], 2) as [
        Tensor,
        Tensor,
      ],
    randomUniform: (shape, seed) =>
      withShape(shape, (shapeTensor) => {
        const seedTensor = tf.tensor1d([...seed], 'int32');
        const result = single(
          'StatelessRandomUniform',
          [
            native.type('dtype', native.float32),
            native.type('T', native.int32),
            native.type('Tseed', native.int32),
          ],
          [shapeTensor, seedTensor],
        );
        seedTensor.dispose();
        return result;
      }),
  };
}
