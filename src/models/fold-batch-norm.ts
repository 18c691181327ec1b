import { BATCH_NORM_EPSILON, type ConvolutionLayer } from './network.ts';
import { weightOf, type WeightLookup } from './weights.ts';

export interface FoldedConvolution {
  /** [kh, kw, in, out], depthwise [kh, kw, channels, 1] */
  readonly weightsHwio: Float32Array;
  /** [out] */
  readonly bias: Float32Array;
}

/**
 * One convolution with its batch norm's inference form folded in (Jacob et al. 2017, section 3.2):
 * w' = w * gamma / sqrt(variance + epsilon), b' = beta - mean * gamma / sqrt(variance + epsilon).
 */
export function foldBatchNorm(layer: ConvolutionLayer, weights: WeightLookup): FoldedConvolution {
  const weightsHwio = weightOf(weights, `${layer.weightName}.weight`);
  if (layer.batchNormName === null) {
    return { weightsHwio, bias: weightOf(weights, `${layer.weightName}.bias`) };
  }
  const gamma = weightOf(weights, `${layer.batchNormName}.weight`);
  const beta = weightOf(weights, `${layer.batchNormName}.bias`);
  const mean = weightOf(weights, `${layer.batchNormName}.running_mean`);
  const variance = weightOf(weights, `${layer.batchNormName}.running_var`);
  // All five arrays have one element a channel; the last axis of the weights runs over channels.
  const channelCount = gamma.length;
  const factors = Float64Array.from(
    gamma,
    (value, c) => value / Math.sqrt(variance[c]! + BATCH_NORM_EPSILON),
  );
  return {
    weightsHwio: weightsHwio.map((value, i) => value * factors[i % channelCount]!),
    bias: beta.map((value, c) => value - mean[c]! * factors[c]!),
  };
}
