/** Where the output channels of weights stand: [M, …] for axis 0, [K, M] for axis 1. */
export interface RowLayout {
  readonly channelCount: number;
  readonly axis: 0 | 1;
}

/** [M, K], a row an output channel: the values themselves for axis 0, else a copy. */
export function asRows<T extends Float32Array | Int8Array>(
  values: T,
  { channelCount, axis }: RowLayout,
): T {
  return axis === 0 ? values : transposed(values, channelCount);
}

/** What `asRows` was given: the rows themselves for axis 0, else a copy. */
export function fromRows<T extends Float32Array | Int8Array>(
  rows: T,
  { channelCount, axis }: RowLayout,
): T {
  return axis === 0 ? rows : transposed(rows, rows.length / channelCount);
}

/** One view a row of [M, K]. */
export function eachRow<T extends Float32Array | Int8Array>(rows: T, channelCount: number): T[] {
  const size = rows.length / channelCount;
  return Array.from(
    { length: channelCount },
    (_, m) => rows.subarray(m * size, (m + 1) * size) as T, // a view is of its array's kind
  );
}

/** [R, C] → [C, R] */
function transposed<T extends Float32Array | Int8Array>(source: T, columnCount: number): T {
  const target = source.slice() as T; // a copy is of its array's kind
  const rowCount = source.length / columnCount;
  for (let row = 0; row < rowCount; row += 1) {
    for (let column = 0; column < columnCount; column += 1) {
      target[column * rowCount + row] = source[row * columnCount + column]!; // inside [R, C]
    }
  }
  return target;
}
