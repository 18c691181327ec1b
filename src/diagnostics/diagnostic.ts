/** Offsets into the text of a file, in UTF-16 code units; line and column are derived when shown. */
export interface SourceRange {
  readonly file: string;
  readonly start: number;
  readonly end: number;
}

/** One problem found in text a user wrote. Data only: `render.ts` makes the wording and the excerpt. */
export interface Diagnostic {
  readonly code: string;
  readonly message: string;
  /** Absent only when the problem has no place in a file (a flag on the command line). */
  readonly range?: SourceRange;
  readonly hint?: string;
}

export type Result<T, E> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: E };

export function success<T>(value: T): { readonly ok: true; readonly value: T } {
  return { ok: true, value };
}

export function failure<E>(error: E): { readonly ok: false; readonly error: E } {
  return { ok: false, error };
}
