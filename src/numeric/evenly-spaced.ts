/** `count` of the items in their order, from the first on, the same distance apart; all where there are fewer. */
export function evenlySpaced<T>(items: readonly T[], count: number): T[] {
  if (items.length <= count) return [...items];
  return Array.from({ length: count }, (_, i) => items[Math.floor((i * items.length) / count)]!); // i < count
}
