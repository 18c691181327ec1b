import { stringify } from 'csv-stringify/sync';
import type { ComparisonTable } from './comparison.ts';
import { roundedValue } from './format-cell.ts';

/** The table as CSV: units in the column names, every column, empty cells where nothing was measured. */
export function renderCsv(table: ComparisonTable): string {
  return stringify(
    table.rows.map((row) =>
      table.columns.map((column, index) => roundedValue(row[index] ?? null, column)),
    ),
    { header: true, columns: table.columns.map(({ name }) => ({ key: name, header: name })) },
  );
}
