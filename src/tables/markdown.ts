import type { ComparisonTable } from './comparison.ts';
import { shownColumns } from './format-cell.ts';

/** The table as GitHub Markdown, with its notes as a list below. */
export function renderMarkdown(table: ComparisonTable): string {
  const notes = table.notes.map((note) => `- ${escapeCell(note)}`);
  return [
    `## ${table.name}`,
    '',
    renderMarkdownTable(shownColumns(table)),
    ...(notes.length === 0 ? [] : ['', ...notes]),
    '',
  ].join('\n');
}

export interface MarkdownColumn {
  readonly title: string;
  readonly kind: 'number' | 'text';
  readonly cells: readonly string[];
}

/** Columns of equal length as a Markdown table, padded so that the source reads well too. */
export function renderMarkdownTable(columns: readonly MarkdownColumn[]): string {
  const texts = columns.map(({ title, kind, cells }) => {
    const all = [title, ...cells].map(escapeCell);
    const width = Math.max(3, ...all.map((text) => text.length));
    const pad = (text: string): string =>
      kind === 'number' ? text.padStart(width) : text.padEnd(width);
    const rule = kind === 'number' ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width);
    const [header = '', ...rest] = all.map(pad);
    return [header, rule, ...rest];
  });
  const lineCount = texts[0]?.length ?? 0;
  return Array.from(
    { length: lineCount },
    (_, line) => `| ${texts.map((column) => column[line] ?? '').join(' | ')} |`,
  ).join('\n');
}

/** A pipe would end the cell, a line break the row; `<` could start HTML. */
export function escapeCell(text: string): string {
  return text
    .replaceAll('\\', '\\\\')
    .replaceAll('|', '\\|')
    .replaceAll('<', '&lt;')
    .replace(/\s*\r?\n\s*/g, ' ');
}
