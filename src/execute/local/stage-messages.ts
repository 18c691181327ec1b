import { z } from 'zod';

/** What a stage process tells its parent, one message each. */
export const stageMessageSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('progress'),
    update: z.strictObject({
      done: z.number(),
      total: z.number().exactOptional(),
      unit: z.string(),
      label: z.string().exactOptional(),
      unitsPerSecond: z.number().exactOptional(),
      remainingMs: z.number().exactOptional(),
    }),
  }),
  z.strictObject({ type: z.literal('warning'), message: z.string() }),
  z.strictObject({ type: z.literal('notice'), message: z.string() }),
  z.strictObject({ type: z.literal('finished') }),
  z.strictObject({
    type: z.literal('failed'),
    code: z.string(),
    message: z.string(),
    hint: z.string().exactOptional(),
  }),
]);
export type StageMessage = z.infer<typeof stageMessageSchema>;
