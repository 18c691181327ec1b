import { z } from 'zod';
import { SPLITS } from '../../src/data/dataset-index.ts';
import { CALIBRATION_METHODS } from '../../src/quantization/calibration-table.ts';

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
    .default('mse')
    .describe(
      'How a range is chosen: everything seen (min-max), without outliers (percentile), or with the least squared error (mse).',
    ),
  percentile: z
    .number()
    .min(50)
    .max(100)
    .default(99.999)
    .describe('Share of values a range keeps, in percent; only for the method percentile.'),
  batchSize: z
    .int()
    .min(1)
    .max(64)
    .default(1)
    .describe('Images run at once in each worker; memory grows with it.'),
});
