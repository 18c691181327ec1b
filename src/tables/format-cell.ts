import type { Column } from './columns.ts';
import type { CellValue, ComparisonColumn, ComparisonTable } from './comparison.ts';

/** More decimals in files than on screens: a spreadsheet may compute with them. */
const EXTRA_CSV_DECIMALS = 4;

/** A number with its column's decimals; `extraDecimals` only where the column has decimals. */
export function formatValue(value: CellValue, column: Column, extraDecimals = 0): string {
  if (value === null) return '';
  if (typeof value === 'string') return value;
  if (column.decimals === 0 && !Number.isInteger(value)) return String(value);
  return value.toFixed(column.decimals === 0 ? 0 : column.decimals + extraDecimals);
}

/** The number as the CSV and JSON have it: rounded, without trailing zeros. */
export function roundedValue(value: CellValue, column: Column): CellValue {
  return typeof value === 'number' ? Number(formatValue(value, column, EXTRA_CSV_DECIMALS)) : value;
}

/** A column for people: intervals stand in the cell of their value, columns without values are left out. */
export interface ShownColumn {
  readonly title: string;
  readonly kind: Column['kind'];
  readonly terminalPriority: number;
  /** One text a row. */
  readonly cells: readonly string[];
}

export function shownColumns(table: ComparisonTable): ShownColumn[] {
  const shown: ShownColumn[] = [];
  for (const [index, column] of table.columns.entries()) {
    if (column.audience === 'files' || !column.isFilled) continue;
    if (column.part !== 'label' && column.part !== 'value') continue;
    const low = table.columns[index + 1];
    const withInterval = low?.part === 'low' && low.isFilled && low.audience === 'everyone';
    shown.push({
      title: withInterval ? `${column.title} [95 %]` : column.title,
      kind: column.kind,
      terminalPriority: column.terminalPriority,
      cells: table.rows.map((row) => shownCell(row, index, column, withInterval)),
    });
  }
  return shown;
}

function shownCell(
  row: readonly CellValue[],
  index: number,
  column: ComparisonColumn,
  withInterval: boolean,
): string {
  const text = formatValue(row[index] ?? null, column);
  const low = row[index + 1] ?? null;
  const high = row[index + 2] ?? null;
  if (!withInterval || low === null || high === null) return text;
  // An interval is wider than its last decimals; one decimal fewer keeps the cell readable.
  const coarse = { ...column, decimals: Math.max(column.decimals - 1, 1) };
  return `${text} [${formatValue(low, coarse)}, ${formatValue(high, coarse)}]`;
}
