import { z } from 'zod';
import { digestSchema, lockedStageSchema } from './pipeline-lock.ts';

/** What a finished stage left: found by its key, in `artifacts/results/`. Only success has one. */
export const stageResultSchema = lockedStageSchema.extend({
  format: z.literal(1),
  key: digestSchema,
  /** What the stage warned of; shown again whenever its result is used. */
  warnings: z.array(z.string()),
  /** Where the result came from; no part of any key. */
  origin: z.strictObject({
    runId: z.string(),
    stageId: z.string(),
    host: z.string(),
    startedAt: z.string(),
    durationMs: z.number(),
  }),
});
export type StageResult = z.infer<typeof stageResultSchema>;
