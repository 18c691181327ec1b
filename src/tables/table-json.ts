import type { CellValue, ComparisonTable } from './comparison.ts';
import { roundedValue } from './format-cell.ts';

/** The table as plain data: one object a row, keyed by the CSV's column names. */
export function tableToJson(table: ComparisonTable): {
  name: string;
  columns: string[];
  rows: Record<string, CellValue>[];
  notes: readonly string[];
} {
  return {
    name: table.name,
    columns: table.columns.map(({ name }) => name),
    rows: table.rows.map((row) =>
      Object.fromEntries(
        table.columns.map((column, index) => [
          column.name,
          roundedValue(row[index] ?? null, column),
        ]),
      ),
    ),
    notes: table.notes,
  };
}
