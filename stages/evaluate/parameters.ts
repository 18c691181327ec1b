import { z } from 'zod';
import { SPLITS } from '../../src/data/dataset-index.ts';

export const evaluateParameters = z.strictObject({
  split: z.enum(SPLITS).default('test').describe('Which split the model is scored on.'),
  batchSize: z
    .int()
    .min(1)
    .max(1024)
    .default(16)
    .describe(
      'Images a forward pass takes; a model exported with a fixed batch size keeps its own.',
    ),
  topK: z
    .int()
    .min(1)
    .max(1000)
    .default(2)
    .describe(
      'The k of top-k: an image counts when its class is among the k highest scores. 1 leaves the extra figure out.',
    ),
});
export type EvaluateParameters = z.output<typeof evaluateParameters>;
