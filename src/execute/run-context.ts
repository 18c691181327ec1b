import type { StageId } from '../pipeline/spec.ts';
import type { PlanContext } from '../plan/inspect-stage.ts';
import type { StageArtifacts } from '../plan/resolve-inputs.ts';
import type { RunEvent } from '../report/run-event.ts';
import type { Executor } from './executor.ts';
import type { LockRecorder } from './lock-recorder.ts';
import type { StageRecord } from './run-record.ts';

/** What all stages of one run share. */
export interface RunContext extends PlanContext {
  readonly runId: string;
  readonly executor: Executor;
  readonly recorder: LockRecorder;
  readonly coreCount: number;
  /** Aborted by the user, or because another stage failed. */
  readonly signal: AbortSignal;
  /** Outputs of the stages that are done. */
  readonly artifacts: Map<StageId, StageArtifacts>;
  readonly records: Map<StageId, StageRecord>;
  emit(event: RunEvent): void;
}
