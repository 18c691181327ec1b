import type { Diagnostic, SourceRange } from '../diagnostics/diagnostic.ts';
import type { Origin } from './located.ts';

export interface Problem {
  readonly code: string;
  readonly message: string;
  readonly origin: Origin;
  readonly hint?: string | undefined;
}

/** Collects what is wrong with a pipeline; the same problem found in several cells counts once. */
export class Problems {
  readonly #found = new Map<string, Diagnostic>();
  readonly #file: { readonly path: string; readonly text: string };

  constructor(file: { readonly path: string; readonly text: string }) {
    this.#file = file;
  }

  add({ code, message, origin, hint }: Problem): void {
    const diagnostic: Diagnostic = {
      code,
      message: origin.from === 'file' ? message : `${origin.option}: ${message}`,
      ...(origin.from === 'file' ? { range: origin.range } : {}),
      ...(hint === undefined ? {} : { hint }),
    };
    const place = diagnostic.range === undefined ? '' : String(diagnostic.range.start);
    const key = JSON.stringify([place, code, diagnostic.message]);
    if (!this.#found.has(key)) this.#found.set(key, diagnostic);
  }

  get count(): number {
    return this.#found.size;
  }

  /** Takes over those problems of `other` that lie inside `range`. */
  addWithin(other: Problems, range: SourceRange): void {
    for (const [key, diagnostic] of other.#found) {
      const at = diagnostic.range;
      if (at === undefined || at.start < range.start || at.end > range.end) continue;
      if (!this.#found.has(key)) this.#found.set(key, diagnostic);
    }
  }

  /** The place of `fragment` inside `origin`, when it stands there literally; else `origin`. */
  narrow(origin: Origin, fragment: string): Origin {
    if (origin.from !== 'file') return origin;
    const { file, start, end } = origin.range;
    const offset = this.#file.text.slice(start, end).indexOf(fragment);
    if (offset === -1) return origin;
    return {
      from: 'file',
      range: { file, start: start + offset, end: start + offset + fragment.length },
    };
  }

  /** Those without a place (the command line's) first, then in the order of the file. */
  sorted(): Diagnostic[] {
    return [...this.#found.values()].sort(
      (a, b) => (a.range?.start ?? -1) - (b.range?.start ?? -1),
    );
  }
}
