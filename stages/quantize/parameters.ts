import { z } from 'zod';
import { TARGETS } from '../../src/quantization/quantize-model.ts';

export const quantizeParameters = z.strictObject({
  granularity: z
    .enum(['per-channel', 'per-tensor'])
    .default('per-channel')
    .describe('Whether each output channel of a weight tensor has a scale of its own.'),
  weightRange: z
    .enum(['max', 'mse'])
    .default('max')
    .describe('Range of weights: the largest magnitude, or the one with the least squared error.'),
  biasCorrection: z
    .enum(['local', 'none'])
    .default('local')
    .describe(
      'Whether each layer’s bias makes up for the shift that rounding causes; needs the input "images".',
    ),
  target: z
    .enum(TARGETS)
    .default('vnni')
    .describe(
      'CPU the model is for: vnni uses all 8 bits of weights; avx2 and portable use 7, since AVX2 without VNNI saturates.',
    ),
  firstConvolution: z
    .enum(['pad', 'keep'])
    .default('pad')
    .describe(
      'Whether a convolution over three channels gets a fourth of zeros: same outputs, faster.',
    ),
  exclude: z.array(z.string()).default([]).describe('Names of nodes that shall stay float.'),
  batchSize: z
    .int()
    .min(1)
    .max(64)
    .default(1)
    .describe('Images run at once in each worker for the bias correction.'),
});
export type QuantizeParameters = z.output<typeof quantizeParameters>;
