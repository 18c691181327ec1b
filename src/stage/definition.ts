import type { z } from 'zod';
import type { ArtifactKind, Digest } from './artifact.ts';

/** Libraries whose version joins a stage's key, because it can change the bytes of its outputs. */
export type RuntimeName = 'onnxruntime-node' | '@tensorflow/tfjs-node' | 'sharp';

export interface InputDeclaration {
  /** Artifact kinds accepted; `file` and `folder` also accept `{ path: … }` in the pipeline. */
  readonly kinds: readonly ArtifactKind[];
  readonly optional?: boolean;
  readonly description: string;
}

export interface OutputDeclaration {
  readonly kind: ArtifactKind;
  readonly description: string;
}

export interface ResolvedInput {
  readonly kind: ArtifactKind;
  /** Absolute path of a file or folder. Read-only: it may be shared with the store. */
  readonly path: string;
  readonly digest: Digest;
}

export interface ProgressUpdate {
  readonly done: number;
  /** Absent when the amount of work is not known beforehand. */
  readonly total?: number;
  /** What is counted, in the plural: `images`, `epochs`, `steps`. */
  readonly unit: string;
  /** A few words on what is happening now: `epoch 3/20, loss 0.912`. */
  readonly label?: string;
  /** Where the stage knows them better than by the pace of the last seconds, which it is else told by. */
  readonly unitsPerSecond?: number;
  readonly remainingMs?: number;
}

/** Everything a stage may touch. Services first, data after. */
export interface StageContext<Parameters> {
  /** May be called as often as the stage likes; the engine limits what is shown. */
  progress(update: ProgressUpdate): void;
  /** A line for the stage's log file. */
  log(line: string): void;
  /** A line the user must see now and find in the run record. */
  warn(message: string): void;
  /** A line the user should see now; unlike a warning it is not part of the result. */
  notice(message: string): void;
  /** Aborted on Ctrl-C or when another stage failed; long work must look at it. */
  readonly signal: AbortSignal;
  readonly stageId: string;
  readonly parameters: Parameters;
  /** By declared name; an optional input that was not given is absent. */
  readonly inputs: Readonly<Record<string, ResolvedInput>>;
  /** Absolute path to write each declared output to; for folders the folder already exists. */
  readonly outputs: Readonly<Record<string, string>>;
  /**
   * Only for outputs declared by the pipeline with a `path` (`NodeOutput.path`): that path by output
   * name, as written, relative to `scratchPath`. The engine fills it; the stage moves what lies there
   * to `outputs[name]`.
   */
  readonly declaredOutputPaths?: Readonly<Record<string, string>>;
  /** An empty folder for temporary files, on the same disk as the outputs; kept when the stage fails. */
  readonly scratchPath: string;
  /**
   * Where the stage may keep what a killed, interrupted or failed run of the same key goes on from. The
   * stage makes the folder; the engine removes it once the result is stored.
   */
  readonly checkpointPath: string;
  readonly resources: { readonly cpuCount: number };
  /** Folder of the pipeline's project; only for messages that show paths. */
  readonly projectRoot: string;
}

export interface StageDefinition<Schema extends z.ZodObject = z.ZodObject> {
  readonly kind: string;
  /** Raised by hand when the same parameters and inputs would give other bytes. */
  readonly version: number;
  /** One sentence for the reference. */
  readonly description: string;
  /** Strict; every field has `.describe()`; units stand in the field's name or description. */
  readonly parameters: Schema;
  /** `declared-by-pipeline`: the pipeline names them (stage kind `command`). */
  readonly inputs: Readonly<Record<string, InputDeclaration>> | 'declared-by-pipeline';
  readonly outputs: Readonly<Record<string, OutputDeclaration>> | 'declared-by-pipeline';
  readonly runtimes: readonly RuntimeName[];
  /** `per-machine`: the machine's fingerprint joins the key, so figures of another machine are never shown as this one's. */
  readonly cache: 'content' | 'per-machine';
  /** `alone`: no other stage runs beside it (measurements). */
  readonly scheduling: 'parallel' | 'alone';
  /** Cpus used when the pipeline says nothing; `all` means every core the run may use. */
  readonly defaultCpuCount: number | 'all';
  /** `process`: runs in a child process, with `environment` and `nodeFlags` set before it starts. */
  readonly isolation: 'in-process' | 'process';
  /** How long the stage may take to end after an abort before it is given up; 5 s when left out. */
  readonly abortGraceMs?: number;
  /**
   * Optional inputs that the stage cannot do without given these parameters, told before anything runs.
   * `because` is what needs them: `inputType uint8`. `written` names the parameters that the pipeline
   * gives, where what is asked for must be had and a default may be done without.
   */
  inputsNeededBy?(
    parameters: z.output<Schema>,
    written: ReadonlySet<string>,
  ): readonly { readonly input: string; readonly because: string }[];
  environment?(resources: { readonly cpuCount: number }): Readonly<Record<string, string>>;
  /** Of Node and V8, for what they take at the start alone: `--max-old-space-size=8000`. */
  readonly nodeFlags?: readonly string[];
  run(context: StageContext<z.output<Schema>>): Promise<void>;
}

/** A definition whose parameter type is not known to the caller; the engine validates before it calls. */
// `any` is needed once: StageDefinition is contravariant in its parameters through `run`.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type AnyStageDefinition = StageDefinition<any>;

/** Declares a stage kind; it exists to infer the type of `parameters` inside `run`. */
export function defineStage<const Schema extends z.ZodObject>(
  definition: StageDefinition<Schema>,
): StageDefinition<Schema> {
  return definition;
}
