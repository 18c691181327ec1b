import { z } from 'zod';
import { isOfUnitValues, UNIT_VALUES_HINT } from '../../src/data/normalization-presets.ts';
import { SPLITS } from '../../src/data/dataset-index.ts';
import { DEFAULT_LIMIT_PIXELS } from '../../src/data/decode-image.ts';

const channels = z.tuple([z.number(), z.number(), z.number()]);

export const DEFAULT_FLIP_PROBABILITY = 0.5;

export const augmentParameters = z
  .strictObject({
    sizePx: z
      .int()
      .min(8)
      .max(4096)
      .default(224)
      .describe(
        'Width and height in pixels: the short side is resized to it, then the centre cut out.',
      ),
    circleCrop: z
      .boolean()
      .default(false)
      .describe('Cut the image to the bounding box of the retina before resizing.'),
    splits: z
      .array(z.enum(SPLITS))
      .min(1)
      .default([...SPLITS])
      .describe('Splits to prepare; the others stay empty.'),
    copies: z
      .int()
      .min(1)
      .max(64)
      .default(1)
      .describe(
        'How many times each training image is stored (the paper: 4); the first is never changed.',
      ),
    randomlyFlippedCopies: z
      .int()
      .min(0)
      .default(0)
      .describe(
        'How many of the copies after the first are randomly flipped left to right (the paper: 2).',
      ),
    flipProbability: z
      .number()
      .min(0)
      .max(1)
      .default(DEFAULT_FLIP_PROBABILITY)
      .describe('Chance of a flip for each randomly flipped copy.'),
    rotationDegrees: z
      .number()
      .min(0)
      .max(180)
      .default(0)
      .describe('Copies after the first are turned by a random angle up to this, either way.'),
    brightness: z
      .number()
      .min(0)
      .max(1)
      .default(0)
      .describe(
        'Copies after the first are made brighter or darker by a random factor in 1 ± this.',
      ),
    contrast: z
      .number()
      .min(0)
      .max(1)
      .default(0)
      .describe('The same for contrast, about the mean grey level of the image.'),
    seed: z.int().min(0).default(0).describe('Seed of every random choice.'),
    normalization: z
      .union([
        z.enum(['computed', 'paper', 'imagenet', 'tf', 'unit']),
        z
          .strictObject({
            mean: channels.describe('By channel in RGB order, of pixel values scaled to [0, 1].'),
            std: z
              .tuple([z.number().positive(), z.number().positive(), z.number().positive()])
              .describe('By channel in RGB order, of pixel values scaled to [0, 1].'),
          })
          .refine(isOfUnitValues, `must have mean and std within [0, 1]: ${UNIT_VALUES_HINT}`),
      ])
      .default('computed')
      .describe(
        'What later stages subtract and divide by: computed over the first copies of the training split; the figures of the paper, of ImageNet; tf: (pixel - 127.5) / 127.5; unit: pixel / 255; or given.',
      ),
    limitMegapixels: z
      .number()
      .positive()
      .default(DEFAULT_LIMIT_PIXELS / 1e6)
      .describe('Larger images are refused from their header, before decoding.'),
  })
  .refine(({ copies, randomlyFlippedCopies }) => randomlyFlippedCopies < copies, {
    path: ['randomlyFlippedCopies'],
    error: 'must be less than copies, because the first copy is never changed',
  });

export type AugmentParameters = z.output<typeof augmentParameters>;
