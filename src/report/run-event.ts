import type { StageId } from '../pipeline/spec.ts';
import type { StageAction } from '../plan/planned-stage.ts';

/** Everything that happens in a run, in order; reporters render it and `--json` prints it, one event a line. */
export type RunEvent =
  | {
      readonly type: 'run-started';
      readonly runId: string;
      readonly pipeline: string;
      readonly stageCount: number;
    }
  /** Another process holds what is needed: the stage's key, or (null) the whole pipeline. */
  | {
      readonly type: 'lock-waiting';
      readonly stageId: StageId | null;
      readonly message: string;
    }
  | {
      readonly type: 'stage-started';
      readonly stageId: StageId;
      readonly action: StageAction;
      readonly reason: string;
    }
  | {
      readonly type: 'stage-progress';
      readonly stageId: StageId;
      readonly done: number;
      readonly total?: number;
      readonly unit: string;
      readonly label?: string;
      readonly elapsedMs: number;
      /** Absent until a rate can be told. */
      readonly unitsPerSecond?: number;
      readonly remainingMs?: number;
    }
  /** News of this run alone, such as where it goes on from. */
  | { readonly type: 'stage-notice'; readonly stageId: StageId; readonly message: string }
  | { readonly type: 'stage-warning'; readonly stageId: StageId; readonly message: string }
  | {
      readonly type: 'stage-finished';
      readonly stageId: StageId;
      readonly action: StageAction;
      readonly key: string;
      readonly durationMs: number;
    }
  | {
      readonly type: 'stage-failed';
      readonly stageId: StageId;
      readonly code: string;
      readonly message: string;
      readonly hint?: string;
      readonly scratchPath: string;
      readonly logPath: string;
      /** The last lines of the log. */
      readonly logTail: readonly string[];
    }
  | {
      readonly type: 'stage-skipped';
      readonly stageId: StageId;
      readonly because: StageId;
      /** It was stopped in its middle. */
      readonly wasRunning: boolean;
    }
  | {
      readonly type: 'run-finished';
      readonly ran: number;
      readonly restored: number;
      readonly upToDate: number;
      readonly failed: number;
      readonly skipped: number;
      readonly durationMs: number;
      /** What ended the run before its end; stages that were running count nowhere. */
      readonly error?: RunEndError;
    };

export interface RunEndError {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  /** Every problem of a pipeline that was refused. */
  readonly problems?: readonly PipelineProblem[];
}

export interface PipelineProblem {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  /** Line and column from 1, unless the file cannot be read; absent for a flag of the command line. */
  readonly place?: { readonly file: string; readonly line?: number; readonly column?: number };
}
