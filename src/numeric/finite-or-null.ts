/** JSON has no NaN and no infinity: files and reports hold null, beside something that says why. */
export function finiteOrNull(value: number | null): number | null {
  return Number.isFinite(value) ? value : null;
}
