import type { JsonObject } from '../pipeline/spec.ts';
import type { AnyStageDefinition, ProgressUpdate, ResolvedInput } from '../stage/definition.ts';

/** Everything a stage needs to run anywhere the project's files are: plain data, sent as JSON. */
export interface StageRequest {
  readonly stageId: string;
  readonly kind: string;
  /** Module of a stage kind of the user's own, else null. */
  readonly modulePath: string | null;
  /** Digest of that module when the pipeline was read: it is part of the stage's key. */
  readonly sourceDigest: string | null;
  readonly parameters: JsonObject;
  readonly inputs: Readonly<Record<string, ResolvedInput>>;
  /** Output name → absolute path; folders exist. */
  readonly outputs: Readonly<Record<string, string>>;
  /** Where the pipeline says a program writes an output, relative to `scratchPath`. */
  readonly declaredOutputPaths: Readonly<Record<string, string>>;
  readonly workFolder: string;
  readonly scratchPath: string;
  /** Of the stage's key, so that the next run of the same finds it; made by the stage. */
  readonly checkpointPath: string;
  readonly logPath: string;
  readonly cpuCount: number;
  readonly projectRoot: string;
}

export interface StageListener {
  progress(update: ProgressUpdate): void;
  warn(message: string): void;
  notice(message: string): void;
}

export interface StageExecution {
  readonly request: StageRequest;
  readonly definition: AnyStageDefinition;
  readonly listener: StageListener;
  readonly signal: AbortSignal;
}

/** Where stages run. It runs one and nothing else: keys, store and order are the engine's. */
export interface Executor {
  /** Resolves when the stage has ended well; its outputs are not looked at here. */
  run(execution: StageExecution): Promise<void>;
}
