import type { Tensor } from '@tensorflow/tfjs-node';
import type { Activation, Padding } from '../models/network.ts';
import { BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM } from '../models/network.ts';
import type { Tensorflow } from '../runtime/tensorflow.ts';

/** Attribute of a TensorFlow operation as tfjs-node's binding takes it. */
interface OperationAttribute {
  readonly name: string;
  readonly type: number;
  readonly value: unknown;
}

/** The part of tfjs-node's backend used here; its published types leave it out. */
interface NativeBackend {
  readonly binding: Readonly<
    Record<
      | 'TF_FLOAT'
      | 'TF_INT32'
      | 'TF_ATTR_TYPE'
      | 'TF_ATTR_BOOL'
      | 'TF_ATTR_STRING'
      | 'TF_ATTR_INT'
      | 'TF_ATTR_FLOAT',
      number
    >
  >;
  executeSingleOutput(name: string, attributes: OperationAttribute[], inputs: Tensor[]): Tensor;
  executeMultipleOutputs(
    name: string,
    attributes: OperationAttribute[],
    inputs: Tensor[],
    outputCount: number,
  ): Tensor[];
}

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
 * Inputs are never disposed here; every result belongs to the caller. All tensors are float32 NHWC.
 */
export interface Kernels {
  convolution(x: Tensor, weightsHwio: Tensor, window: ConvolutionWindow): Tensor;
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
  /** Normalizes by the batch's statistics and moves the averages by PyTorch's momentum 0.1. */
  batchNormTraining(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    movingMean: Tensor,
    movingVariance: Tensor,
  ): BatchNormResult;
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
  maxPool(x: Tensor, window: Window): Tensor;
  maxPoolGradient(dy: Tensor, x: Tensor, y: Tensor, window: Window): Tensor;
  add(a: Tensor, b: Tensor): Tensor;
  multiply(a: Tensor, b: Tensor): Tensor;
  subtract(a: Tensor, b: Tensor): Tensor;
  addAll(tensors: readonly Tensor[]): Tensor;
  matMul(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor;
  /** Loss of each image [N] and the gradient of their sum by the logits [N, C]. */
  softmaxCrossEntropy(logits: Tensor, targets: Tensor): [Tensor, Tensor];
  /** Uniform in [0, 1), the same for the same seed (Philox, TensorFlow's StatelessRandomUniform). */
  randomUniform(shape: readonly number[], seed: readonly [number, number]): Tensor;
}

export function createKernels(tf: Tensorflow): Kernels {
  // tfjs-node's backend; `loadTensorflow` has chosen it.
  const backend = tf.backend() as unknown as NativeBackend;
  const { binding } = backend;
  const typeAttribute = (name: string, value: number): OperationAttribute => ({
    name,
    type: binding.TF_ATTR_TYPE,
    value,
  });
  const attribute = (
    name: string,
    kind: 'BOOL' | 'STRING' | 'INT' | 'FLOAT',
    value: unknown,
  ): OperationAttribute => ({ name, type: binding[`TF_ATTR_${kind}`], value });
  const float = typeAttribute('T', binding.TF_FLOAT);
  const nhwc = attribute('data_format', 'STRING', 'NHWC');
  // The kernels' results have the rank their names promise; tfjs types know nothing of them.
  const single = (name: string, attributes: OperationAttribute[], inputs: Tensor[]): Tensor =>
    backend.executeSingleOutput(name, attributes, inputs);

  const windowAttributes = (window: Window, explicitName: string): OperationAttribute[] => {
    const { kind, pads } = tensorflowPadding(window);
    return [
      float,
      attribute('strides', 'INT', [1, window.stride, window.stride, 1]),
      attribute('padding', 'STRING', kind),
      nhwc,
      ...(kind === 'EXPLICIT' ? [attribute(explicitName, 'INT', pads)] : []),
    ];
  };
  const convolutionAttributes = (window: ConvolutionWindow): OperationAttribute[] => [
    ...windowAttributes(window, 'explicit_paddings'),
    attribute('dilations', 'INT', [1, 1, 1, 1]),
  ];
  const poolAttributes = (window: Window): OperationAttribute[] => [
    ...windowAttributes(window, 'explicit_paddings'),
    attribute('ksize', 'INT', [1, window.kernelSize, window.kernelSize, 1]),
  ];
  const withShape = (shape: readonly number[], use: (shapeTensor: Tensor) => Tensor): Tensor => {
    const shapeTensor = tf.tensor1d([...shape], 'int32');
    const result = use(shapeTensor);
    shapeTensor.dispose();
    return result;
  };
  const batchNormAttributes = (training: boolean): OperationAttribute[] => [
    float,
    typeAttribute('U', binding.TF_FLOAT),
    attribute('epsilon', 'FLOAT', BATCH_NORM_EPSILON),
    nhwc,
    attribute('is_training', 'BOOL', training),
  ];
  const activationKernel = { relu: 'Relu', relu6: 'Relu6' } as const;

  return {
    convolution: (x, weights, window) =>
      single(window.depthwise ? 'DepthwiseConv2dNative' : 'Conv2D', convolutionAttributes(window), [
        x,
        weights,
      ]),
    convolutionInputGradient: (dy, weights, window, inputShape) =>
      withShape(inputShape, (shape) =>
        single(
          window.depthwise ? 'DepthwiseConv2dNativeBackpropInput' : 'Conv2DBackpropInput',
          convolutionAttributes(window),
          [shape, weights, dy],
        ),
      ),
    convolutionWeightGradient: (dy, x, window, weightShape) =>
      withShape(weightShape, (shape) =>
        single(
          window.depthwise ? 'DepthwiseConv2dNativeBackpropFilter' : 'Conv2DBackpropFilter',
          convolutionAttributes(window),
          [x, shape, dy],
        ),
      ),
    batchNormTraining(x, gamma, beta, movingMean, movingVariance) {
      const [y, mean, variance, r1, r2, r3] = backend.executeMultipleOutputs(
        'FusedBatchNormV3',
        [
          ...batchNormAttributes(true),
          attribute('exponential_avg_factor', 'FLOAT', BATCH_NORM_MOMENTUM),
        ],
        [x, gamma, beta, movingMean, movingVariance],
        6,
      ) as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
      return { y, mean, variance, reserved: [r1, r2, r3] };
    },
    batchNormGradient(dy, x, gamma, reserved) {
      const [dx, dgamma, dbeta, unused1, unused2] = backend.executeMultipleOutputs(
        'FusedBatchNormGradV3',
        batchNormAttributes(true),
        [dy, x, gamma, ...reserved],
        5,
      ) as [Tensor, Tensor, Tensor, Tensor, Tensor];
      unused1.dispose();
      unused2.dispose();
      return [dx, dgamma, dbeta];
    },
    batchNormInference(x, gamma, beta, mean, variance) {
      const [y, ...rest] = backend.executeMultipleOutputs(
        'FusedBatchNormV3',
        [...batchNormAttributes(false), attribute('exponential_avg_factor', 'FLOAT', 1)],
        [x, gamma, beta, mean, variance],
        6,
      ) as [Tensor, ...Tensor[]];
      for (const tensor of rest) tensor.dispose();
      return y;
    },
    biasAdd: (x, bias) => single('BiasAdd', [float, nhwc], [x, bias]),
    biasGradient: (dy) => single('BiasAddGrad', [float, nhwc], [dy]),
    activate: (x, activation) => single(activationKernel[activation], [float], [x]),
    activationGradient: (dy, y, activation) =>
      single(`${activationKernel[activation]}Grad`, [float], [dy, y]),
    maxPool: (x, window) => single('MaxPool', poolAttributes(window), [x]),
    maxPoolGradient: (dy, x, y, window) =>
      single('MaxPoolGrad', poolAttributes(window), [x, y, dy]),
    add: (a, b) => single('AddV2', [float], [a, b]),
    multiply: (a, b) => single('Mul', [float], [a, b]),
    subtract: (a, b) => single('Sub', [float], [a, b]),
    addAll: (tensors) =>
      single('AddN', [float, attribute('N', 'INT', tensors.length)], [...tensors]),
    matMul: (a, b, transposeA, transposeB) =>
      single(
        'MatMul',
        [
          float,
          attribute('transpose_a', 'BOOL', transposeA),
          attribute('transpose_b', 'BOOL', transposeB),
        ],
        [a, b],
      ),
    softmaxCrossEntropy: (logits, targets) =>
      backend.executeMultipleOutputs(
        'SoftmaxCrossEntropyWithLogits',
        [float],
        [logits, targets],
        2,
      ) as [Tensor, Tensor],
    randomUniform: (shape, seed) =>
      withShape(shape, (shapeTensor) => {
        const seedTensor = tf.tensor1d([...seed], 'int32');
        const result = single(
          'StatelessRandomUniform',
          [
            typeAttribute('dtype', binding.TF_FLOAT),
            typeAttribute('T', binding.TF_INT32),
            typeAttribute('Tseed', binding.TF_INT32),
          ],
          [shapeTensor, seedTensor],
        );
        seedTensor.dispose();
        return result;
      }),
  };
}

/** VALID and SAME where they mean the same zeros, since their kernels are the best tuned; else EXPLICIT. */
function tensorflowPadding({ padding, kernelSize, stride, inputShape }: Window): {
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
