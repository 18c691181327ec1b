const NUMBER_OR_TEXT = /\d+|\D+/g;

/**
 * Orders names as people number them: `2` before `10`, `img9` before `img10`. Runs of digits compare
 * as numbers, all else by code unit, so that the order depends on no locale.
 */
export function compareNatural(a: string, b: string): number {
  const partsOfA = a.match(NUMBER_OR_TEXT) ?? [];
  const partsOfB = b.match(NUMBER_OR_TEXT) ?? [];
  for (const [i, partOfA] of partsOfA.entries()) {
    const partOfB = partsOfB[i];
    if (partOfB === undefined) return 1;
    const order = comparePart(partOfA, partOfB);
    if (order !== 0) return order;
  }
  // Equal as numbers all through, such as `01` and `1`: the text decides.
  return partsOfA.length - partsOfB.length || compareCodeUnits(a, b);
}

/** The order of dataset indices: the same on every machine. */
export function compareCodeUnits(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function comparePart(a: string, b: string): number {
  if (!isNumber(a) || !isNumber(b)) return compareCodeUnits(a, b);
  const digitsOfA = a.replace(/^0+(?=\d)/, '');
  const digitsOfB = b.replace(/^0+(?=\d)/, '');
  return digitsOfA.length - digitsOfB.length || compareCodeUnits(digitsOfA, digitsOfB);
}

function isNumber(part: string): boolean {
  return part >= '0' && part < ':'; // ':' follows '9'
}
