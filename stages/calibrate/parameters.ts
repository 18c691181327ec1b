import { z } from 'zod';
import { SPLITS } from '../../src/data/dataset-index.ts';
import {
  CALIBRATION_METHODS,
  DEFAULT_PERCENTILE,
  EQUALIZATION_CHOICES,
} from '../../src/quantization/choices.ts';

export const calibrateParameters = z.strictObject({
  count: z
    .int()
    .min(1)
    .default(128)
    .describe('Images to calibrate on; all of them where the split has fewer.'),
  seed: z.int().min(0).default(0).describe('Of the draw of images.'),
  split: z.enum(SPLITS).default('train').describe('Where the images are drawn from.'),
  method: z
    .enum(CALIBRATION_METHODS)
    .default('auto')
    .describe(
      'How a range is chosen: everything seen (min-max), the mean of the images’ ranges (mean-min-max), their moving average (moving-average), without outliers (percentile), with the least squared error (mse; l2-histogram as PyTorch does; relative-mse in relation to each image’s size), with the least loss of information (entropy), or by what keeps the outputs closest on held-out calibration images (auto).',
    ),
  percentile: z
    .number()
    .min(50)
    .max(100)
    .default(DEFAULT_PERCENTILE)
    .describe(
      'Share of values a range keeps, in percent; for the method percentile and as a candidate of auto.',
    ),
  equalization: z
    .enum(EQUALIZATION_CHOICES)
    .default('auto')
    .describe(
      'How channels between two layers are scaled before, the function staying the same: so that the activation’s channels have one range (activations), or the weights of both layers do (cross-layer). auto: activations from 64 images on; below, where it keeps the outputs much closer on held-out calibration images.',
    ),
  batchSize: z
    .int()
    .min(1)
    .max(64)
    .default(1)
    .describe('Images run at once in each worker; memory grows with it.'),
});
