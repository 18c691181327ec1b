import type { Tensor } from '@tensorflow/tfjs-node';
import {
  BATCH_NORM_EPSILON,
  BATCH_NORM_MOMENTUM,
  type ConvolutionLayer,
} from '../models/network.ts';
import type { LayerRuntime } from './layer-runtime.ts';
import type { Precision } from './precision.ts';

/**
 * Most input channels squared over output channels at which products of the input are cheaper than passes over
 * the output: 64 to 256 channels (16) gain half the time on two cores, 128 to 512 (32) a sixth, 256 to 1024 (64) lose.
 */
const MOST_PRODUCTS_PER_OUTPUT = 40;

/**
 * Fewest output values of a batch: some forty operations on small matrices take as long as the passes over 3 million
 * values that they save (a MobileNetV2 of half width at 96 px took 1.5 times as long with them everywhere).
 */
const FEWEST_VALUES = 4e6;

/** A 1 x 1 convolution without stride whose batch norm can be computed from its few input channels. */
export function normalizesThroughInput(
  layer: ConvolutionLayer,
  precision: Precision,
  imageCount: number,
): layer is ConvolutionLayer & { batchNormName: string } {
  const { depthwise, kernelSize, stride, batchNormName, inputShape, outputShape } = layer;
  const { height, width, channels } = outputShape;
  return (
    precision === 'float32' && // moments of products in bfloat16 would cancel
    batchNormName !== null &&
    !depthwise &&
    kernelSize === 1 &&
    stride === 1 &&
    inputShape.channels ** 2 / channels <= MOST_PRODUCTS_PER_OUTPUT &&
    imageCount * height * width * channels >= FEWEST_VALUES
  );
}

export interface PointwiseNormalization {
  /** [N, H, W, M], after batch norm and activation. */
  readonly y: Tensor;
  /** Running statistics after this batch. */
  readonly runningMean: Tensor;
  readonly runningVariance: Tensor;
  readonly gradients: (d: Tensor, wantsInputGradient: boolean) => PointwiseGradients;
}

export interface PointwiseGradients {
  readonly weight: Tensor;
  readonly gamma: Tensor;
  readonly beta: Tensor;
  /** null where it is not wanted. */
  readonly input: Tensor | null;
}

/**
 * z = x · W, batch norm and activation without a pass over z, and without z itself. x: [N, H, W, C], of
 * n = N · H · W places; W: [1, 1, C, M]. As z is linear in x, its moments follow from those of x, with
 * m = mean(x) and K = xᵀx / n - m mᵀ, a matrix of C x C:
 *
 *     mean_j = m · w_j,  var_j = w_j · K w_j,  s_j = gamma_j / sqrt(var_j + epsilon)
 *     y = activation(x · (W diag s) + beta - mean s)
 *
 * So is the gradient of batch norm (Ioffe, Szegedy 2015), dz_j = s_j (d_j - mean(d_j) - zhat_j mean(d_j zhat_j)), of
 * which the layer needs xᵀ dz and dz Wᵀ only. With P = xᵀ d and the sums S = Σ d, where d is the gradient before
 * the activation:
 *
 *     dbeta = S,  dgamma_j = (w_j · P_j - mean_j S_j) / sqrt(var_j + epsilon)
 *     dW_j = s_j (P_j - S_j m - K w_j dgamma_j / sqrt(var_j + epsilon))
 *     dx = d (W diag s)ᵀ - (x - m) Q - (W diag s) S / n,  Q = W diag(s_j dgamma_j / (n sqrt(var_j + epsilon))) Wᵀ
 */
export function normalizePointwise(
  { tf, kernels, parameter }: LayerRuntime,
  layer: ConvolutionLayer & { batchNormName: string },
  x: Tensor,
): PointwiseNormalization {
  const { batchNormName, activation } = layer;
  const [inputChannels, outputChannels] = [layer.inputShape.channels, layer.outputShape.channels];
  const placeCount = x.size / inputChannels;
  const kernelShape = [1, 1, inputChannels, outputChannels];
  const momentShape = [1, 1, inputChannels, inputChannels];
  const weights = parameter(`${layer.weightName}.weight`);

  const forward = tf.tidy(() => {
    const w = weights.reshape([inputChannels, outputChannels]);
    const m = kernels
      .biasGradient(x)
      .mul(1 / placeCount)
      .reshape([inputChannels, 1]);
    const products = kernels.convolutionWeightGradient(x, x, layer, [
      1,
      1,
      inputChannels,
      inputChannels,
    ]);
    const k = products
      .reshape([inputChannels, inputChannels])
      .mul(1 / placeCount)
      .sub(m.mul(m.transpose()));
    const kw = kernels.matMul(k, w, false, false);
    const mean = w.mul(m).sum(0);
    const variance = w.mul(kw).sum(0).relu(); // rounding may leave it below 0
    const inverse = variance.add(BATCH_NORM_EPSILON).rsqrt();
    const scale = parameter(`${batchNormName}.weight`).mul(inverse);
    const scaled = w.mul(scale);
    const bias = parameter(`${batchNormName}.bias`).sub(mean.mul(scale));
    const moved = (name: string, value: Tensor): Tensor =>
      parameter(`${batchNormName}.${name}`)
        .mul(1 - BATCH_NORM_MOMENTUM)
        .add(value.mul(BATCH_NORM_MOMENTUM));
    const sum = kernels.convolutionWithBias(x, scaled.reshape(kernelShape), bias, layer);
    return {
      y: activation === 'none' ? sum : kernels.activate(sum, activation),
      runningMean: moved('running_mean', mean),
      // Unbiased, as PyTorch's; of one place as it is.
      runningVariance: moved('running_var', variance.mul(placeCount / Math.max(placeCount - 1, 1))),
      kept: { m, kw, mean, inverse, scale, scaled },
    };
  });
  const { kept, ...result } = forward;

  const gradients = (d: Tensor, wantsInputGradient: boolean): PointwiseGradients => {
    const { m, kw, mean, inverse, scale, scaled } = kept;
    const byParameters = tf.tidy(() => {
      const w = weights.reshape([inputChannels, outputChannels]);
      const beta = kernels.biasGradient(d);
      const p = kernels
        .convolutionWeightGradient(d, x, layer, kernelShape)
        .reshape([inputChannels, outputChannels]);
      const gamma = w.mul(p).sum(0).sub(mean.mul(beta)).mul(inverse);
      const weight = p
        .sub(m.mul(beta))
        .sub(kw.mul(gamma.mul(inverse)))
        .mul(scale);
      return { weight: weight.reshape(kernelShape), gamma, beta };
    });
    const byInput = (): Tensor => {
      const w = weights.reshape([inputChannels, outputChannels]);
      const factors = scale
        .mul(byParameters.gamma)
        .mul(inverse)
        .mul(1 / placeCount);
      const q = kernels.matMul(w.mul(factors), w, false, true);
      const means = byParameters.beta.mul(1 / placeCount);
      const constant = q.mul(m).sum(0).sub(scaled.mul(means).sum(1));
      return kernels.add(
        kernels.convolutionInputGradient(d, scaled.reshape(kernelShape), layer, x.shape),
        kernels.convolutionWithBias(x, q.neg().reshape(momentShape), constant, layer),
      );
    };
    const input = wantsInputGradient ? tf.tidy(byInput) : null;
    tf.dispose(kept);
    return { ...byParameters, input };
  };
  return { ...result, gradients };
}
