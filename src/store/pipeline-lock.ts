import { z } from 'zod';
import { ARTIFACT_KINDS, type ArtifactKind, type Digest } from '../stage/artifact.ts';

export const digestSchema = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .transform((text) => text as Digest); // the pattern is the brand's invariant
// The keys of a constant object are exactly its literal keys.
export const artifactKindSchema = z.enum(
  Object.keys(ARTIFACT_KINDS) as [ArtifactKind, ...ArtifactKind[]],
);

/** What a stage cell was when it last ran or was restored: everything its key was made of, and what came out. */
export const lockedStageSchema = z.strictObject({
  key: digestSchema,
  kind: z.string(),
  version: z.int(),
  parameters: z.record(z.string(), z.json()),
  /** Input name → content digest. */
  inputs: z.record(z.string(), digestSchema),
  /** Library name → version. */
  runtimes: z.record(z.string(), z.string()),
  /** Digest of the module of a stage kind of the user's own. */
  source: digestSchema.exactOptional(),
  /** Fingerprint of the machine, where the figures hold for one machine only. */
  machine: digestSchema.exactOptional(),
  outputs: z.record(
    z.string(),
    z.strictObject({ kind: artifactKindSchema, digest: digestSchema, sizeBytes: z.int() }),
  ),
  /** `output/subject/name` or `output/name` → value, for every value of every metrics output. */
  metrics: z.record(z.string(), z.union([z.number(), z.string()])),
});
export type LockedStage = z.infer<typeof lockedStageSchema>;

/** `experiments/<pipeline>/lock.yaml`, committed: what `drq diff` compares. */
export const pipelineLockSchema = z.strictObject({
  format: z.literal(1),
  pipeline: z.string(),
  profile: z.string().nullable(),
  stages: z.record(z.string(), lockedStageSchema),
});
export type PipelineLock = z.infer<typeof pipelineLockSchema>;
