import type { Diagnostic } from './diagnostic.ts';

export interface DrqErrorOptions {
  /** Stable, `area/what`, for scripts and for searching the documentation. */
  readonly code: string;
  /** What, where, what was received and what was expected. */
  readonly message: string;
  /** The next step for the user. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** An error with one clear message for the user; `main.ts` prints it without a stack trace. */
export class DrqError extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  /** 1: something failed while running. 2: the request itself is wrong. 70: a bug of ours. */
  readonly exitCode: number = 1;

  constructor(options: DrqErrorOptions) {
    super(options.message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = options.code;
    this.hint = options.hint;
  }
}

/** The command line is wrong. */
export class UsageError extends DrqError {
  override readonly exitCode = 2;
}

/** A pipeline file is wrong; carries every problem found. */
export class PipelineError extends DrqError {
  override readonly exitCode = 2;
  readonly diagnostics: readonly Diagnostic[];

  constructor(diagnostics: readonly Diagnostic[]) {
    super({
      code: 'pipeline/invalid',
      message: `${diagnostics.length} problem(s) in the pipeline`,
    });
    this.diagnostics = diagnostics;
  }
}

/** Input data are wrong: images, labels, archives, weights. */
export class DataError extends DrqError {}

/** An ONNX model is wrong or holds what is not supported. */
export class OnnxError extends DrqError {}

/** The store or the disk below it cannot be read or written. */
export class StoreError extends DrqError {}

/** A stage failed; the scratch folder and log are kept. */
export class StageError extends DrqError {}

/** A component is missing or too old on this machine (the TensorFlow binding, for instance). */
export class EnvironmentError extends DrqError {}

/** The user or a parent process asked to stop. */
export class InterruptedError extends DrqError {
  override readonly exitCode = 130;

  constructor() {
    super({ code: 'run/interrupted', message: 'interrupted' });
  }
}

/** A broken invariant: a bug of ours, to be reported. */
export class InternalError extends DrqError {
  override readonly exitCode = 70;

  constructor(message: string, cause?: unknown) {
    super({
      code: 'internal/bug',
      message,
      hint: 'this is a bug in drq; please report it with the command and the pipeline file',
      ...(cause === undefined ? {} : { cause }),
    });
  }
}
