import CliTable from 'cli-table3';
import type { ComparisonTable } from './comparison.ts';
import { shownColumns, type ShownColumn } from './format-cell.ts';

/** Without a terminal there is no width to fit; this is what a wide one has. */
const DEFAULT_WIDTH = 200;

/** The table for a terminal of `width` columns (null: none); the least telling columns give way. */
export function renderTerminalTable(table: ComparisonTable, width: number | null): string {
  const { kept, leftOut } = fitColumns(shownColumns(table), width ?? DEFAULT_WIDTH);
  const lines = [renderBoxTable(kept)];
  for (const note of table.notes) lines.push(`  ${note}`);
  if (leftOut > 0) {
    lines.push(`  ${leftOut} more column${leftOut === 1 ? '' : 's'} in the CSV and the Markdown`);
  }
  return `${lines.join('\n')}\n`;
}

/** Columns of equal length as a table with box-drawing lines; numbers stand right. */
export function renderBoxTable(
  columns: readonly { title: string; kind: 'number' | 'text'; cells: readonly string[] }[],
): string {
  const box = new CliTable({
    head: columns.map(({ title }) => title),
    colAligns: columns.map(({ kind }) => (kind === 'number' ? 'right' : 'left')),
    style: { head: [], border: [] },
  });
  const rowCount = columns[0]?.cells.length ?? 0;
  for (let row = 0; row < rowCount; row += 1)
    box.push(columns.map(({ cells }) => cells[row] ?? ''));
  return box.toString();
}

function fitColumns(
  columns: readonly ShownColumn[],
  width: number,
): { kept: readonly ShownColumn[]; leftOut: number } {
  let kept = columns.filter(({ terminalPriority }) => terminalPriority > 0);
  while (boxWidth(kept) > width) {
    const lowest = Math.min(...kept.map(({ terminalPriority }) => terminalPriority));
    // Labels (the highest priority) always stay, however narrow the terminal.
    if (lowest >= 10) break;
    const index = kept.findLastIndex(({ terminalPriority }) => terminalPriority === lowest);
    kept = kept.toSpliced(index, 1);
  }
  return { kept, leftOut: columns.length - kept.length };
}

/** cli-table3 draws a space on both sides of a cell and a line before each and after the last. */
function boxWidth(columns: readonly ShownColumn[]): number {
  const inner = columns.map(({ title, cells }) =>
    Math.max(...[title, ...cells].map((text) => text.length)),
  );
  return inner.reduce((sum, cell) => sum + cell + 3, 1);
}
