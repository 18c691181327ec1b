/** How the size of a model changed, in words: `3.55 times smaller`; `sizeRatio` is old over new. */
export function sizeChange(sizeRatio: number): string {
  return sizeRatio < 1
    ? `${(1 / sizeRatio).toFixed(2)} times larger`
    : `${sizeRatio.toFixed(2)} times smaller`;
}
