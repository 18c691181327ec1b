import { z } from 'zod';
import {
  BIAS_CORRECTIONS,
  GRANULARITIES,
  INPUT_ROUNDINGS,
  INPUT_TYPES,
  ROUNDINGS,
  SENSITIVITIES,
  TARGETS,
  WEIGHT_RANGES,
} from '../../src/quantization/choices.ts';

export const quantizeParameters = z.strictObject({
  granularity: z
    .enum(GRANULARITIES)
    .default('per-channel')
    .describe('Whether each output channel of a weight tensor has a scale of its own.'),
  weightRange: z
    .enum(WEIGHT_RANGES)
    .default('max')
    .describe('Range of weights: the largest magnitude, or the one with the least squared error.'),
  rounding: z
    .enum(ROUNDINGS)
    .default('adaptive')
    .describe(
      'How weights are rounded: to the nearest code, or so that each layer’s output on the calibration images changes least (adaptive); adaptive needs the input "images".',
    ),
  biasCorrection: z
    .enum(BIAS_CORRECTIONS)
    .default('local')
    .describe(
      'Whether each layer’s bias makes up for the shift that rounding causes; needs the input "images".',
    ),
  target: z
    .enum(TARGETS)
    .default('avx2')
    .describe(
      'CPU the model is for. Without VNNI two products are added in 16 bits, which full-range weights can overflow: avx2 bounds the weights that meet in onnxruntime’s kernels, loses nothing that can be measured by it, and gives one result on every CPU; portable bounds all weights to 7 bits, for other runtimes; vnni bounds nothing. For avx2 and portable the report proves that nothing overflows.',
    ),
  firstConvolution: z
    .enum(['pad', 'keep'])
    .default('pad')
    .describe(
      'Whether a first convolution over three channels gets a fourth where that is faster: up to 7x7 with VNNI, up to 3x3 on AVX2. inputRounding pixels needs pad, and takes windows above 3x3 of stride 2 over blocks of 2x2 pixels where that is faster yet.',
    ),
  exclude: z
    .array(z.string())
    .default([])
    .describe(
      'Names of nodes that shall stay float; operators without weights that nothing else reads stay float with them.',
    ),
  inputType: z
    .enum(INPUT_TYPES)
    .default('float32')
    .describe(
      'What the int8 model takes: normalized float32, or the uint8 pixels themselves ([N, 3, H, W], or [N, H, W, 3] where the float model has channels last), with normalization folded exactly into the first convolution; needs the input "images".',
    ),
  inputRounding: z
    .enum(INPUT_ROUNDINGS)
    .default('pixels')
    .describe(
      'Codes of a float32 input: pixels are the values that the images have, so that nothing is lost (with firstConvolution pad, for a first convolution that it does not slow down, and with the input "images", which says how they are normalized); range spreads them over the calibrated range.',
    ),
  sensitivity: z
    .enum(SENSITIVITIES)
    .default('none')
    .describe(
      'Whether the harm of each layer is measured, at a run of the float model a layer and image (32 images at most); an accuracy budget measures it too, at two runs.',
    ),
  accuracyBudget: z
    .number()
    .min(0)
    .max(100)
    .nullable()
    .default(null)
    .describe(
      'Most points of top-1 that may be lost on the validation split: layers return to float, the most harmful first, until it is met; needs the input images. null: every layer is quantized.',
    ),
  operatorTimes: z
    .enum(['none', 'measure'])
    .default('none')
    .describe(
      'Whether the report has the time of each operator of the optimised graph; times differ from run to run, so then do reports.',
    ),
});
export type QuantizeParameters = z.output<typeof quantizeParameters>;
