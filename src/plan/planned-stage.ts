import type { StageId } from '../pipeline/spec.ts';
import type { Digest } from '../stage/artifact.ts';
import type { RunReason } from './reason.ts';

export type StageAction = 'run' | 'restore' | 'up-to-date';

/** What will happen to one stage. */
export type PlannedStage =
  | {
      readonly stageId: StageId;
      readonly action: StageAction;
      readonly key: Digest;
      readonly reasons: readonly RunReason[];
      /** `reasons` in one line. */
      readonly reason: string;
      /** Warnings of the stored result, when there is one. */
      readonly warnings: readonly string[];
    }
  /** Its key depends on what these stages will write. */
  | {
      readonly stageId: StageId;
      readonly action: 'waits';
      readonly waitsFor: readonly StageId[];
      /** `waits for train, augment`. */
      readonly reason: string;
    }
  /** Its key is not known: a file of the user's cannot be read. */
  | {
      readonly stageId: StageId;
      readonly action: 'fails';
      /** `input "images" of stage ingest: photographs/1.jpg may not be read`. */
      readonly reason: string;
    };

/** What `drq run` would do now, in the order it would. */
export interface Plan {
  readonly pipeline: string;
  readonly stages: readonly PlannedStage[];
}
