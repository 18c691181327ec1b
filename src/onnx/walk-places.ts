/**
 * A function that gives, from call to call, the place of the next element of a tensor of `dims` in row
 * order, where a step along axis i moves by `steps[i]`: 0 along axes that are repeated or summed.
 */
export function walkPlaces(dims: readonly number[], steps: readonly number[]): () => number {
  const index = new Int32Array(dims.length);
  let place = 0;
  return () => {
    const current = place;
    // One size and one step an axis.
    for (let axis = dims.length - 1; axis >= 0; axis -= 1) {
      place += steps[axis]!;
      index[axis]! += 1;
      if (index[axis]! < dims[axis]!) break;
      index[axis] = 0;
      place -= steps[axis]! * dims[axis]!;
    }
    return current;
  };
}
