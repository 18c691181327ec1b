import { relative } from 'node:path';
import type { Diagnostic, SourceRange } from './diagnostic.ts';

/** Longer lines are shown as a window around the problem. */
const MAX_EXCERPT_LENGTH = 140;

/**
 * Diagnostics as text for a terminal, one block each with a blank line between, in the order given.
 * `readText` gives the text of a file, or undefined when it cannot be had: then the excerpt is left out.
 */
export function renderDiagnostics(
  diagnostics: readonly Diagnostic[],
  readText: (file: string) => string | undefined,
  cwd: string = process.cwd(),
): string {
  return diagnostics.map((diagnostic) => renderOne(diagnostic, readText, cwd)).join('\n');
}

function renderOne(
  { code, message, range, hint }: Diagnostic,
  readText: (file: string) => string | undefined,
  cwd: string,
): string {
  const lines: string[] = [];
  const text = range === undefined ? undefined : readText(range.file);
  const position = range !== undefined && text !== undefined ? positionOf(text, range.start) : null;
  const place =
    range === undefined
      ? ''
      : `${printable(relativePath(cwd, range.file))}${position === null ? '' : `:${position.line}:${position.column}`} `;
  lines.push(`${place}error ${code}`, ...message.split('\n').map((line) => `  ${printable(line)}`));
  if (range !== undefined && text !== undefined && text.length > 0) {
    lines.push(...excerpt(text, range));
  }
  if (hint !== undefined) lines.push(`  hint: ${printable(hint)}`);
  return `${lines.join('\n')}\n`;
}

/** Line and column, both from 1; the column counts UTF-16 code units, as editors do. */
export function positionOf(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset);
  const lineStart = before.lastIndexOf('\n') + 1;
  return { line: before.split('\n').length, column: offset - lineStart + 1 };
}

function excerpt(text: string, range: SourceRange): string[] {
  const { line, column } = positionOf(text, range.start);
  const lineStart = range.start - column + 1;
  const newline = text.indexOf('\n', lineStart);
  const lineEnd = newline === -1 ? text.length : newline;
  const source = text.slice(lineStart, lineEnd).replace(/\r$/, '');
  const from = column - 1;
  // A range over several lines is underlined to the end of its first one.
  const to = Math.max(from + 1, Math.min(range.end - lineStart, source.trimEnd().length));

  const cut = source.length > MAX_EXCERPT_LENGTH ? Math.max(0, from - MAX_EXCERPT_LENGTH / 2) : 0;
  const shown = printable(source.slice(cut, cut + MAX_EXCERPT_LENGTH));
  const number = String(line);
  // Tabs stay tabs, so that the underline stands below the text at any tab width.
  const pad = shown.slice(0, from - cut).replace(/[^\t]/g, ' ');
  const underline = '~'.repeat(Math.max(1, Math.min(to - cut, MAX_EXCERPT_LENGTH) - (from - cut)));
  return [`  ${number} | ${shown}`, `  ${' '.repeat(number.length)} | ${pad}${underline}`];
}

/** A terminal would take control characters as orders; tabs are no harm. */
function printable(text: string): string {
  return text.replace(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/g, '·');
}

function relativePath(cwd: string, file: string): string {
  const path = relative(cwd, file);
  return path === '' || path.startsWith('..') ? file : path;
}
