/** Inputs [first, first + size) of a row, which are rounded together. */
export interface RowBlock {
  readonly first: number;
  readonly size: number;
  /** See `CodeBounds`, counted from `first`. */
  readonly meeting: Int32Array | null;
}

/**
 * Inputs further apart than this are rounded as if they were unrelated: time and memory grow with the
 * size of a block, and a 512-channel 3x3 convolution has 4,608 inputs. Blocks of 512 take a third
 * longer in all and bring nothing (30.1 and 29.9 dB, 22.8 and 22.7, 16.1 and 16.2 on three networks).
 */
export const BLOCK_SIZE = 256;

/** A row of `size` inputs in blocks as long as allowed; inputs that meet stay together, if need be in longer ones. */
export function rowBlocks(size: number, meeting: Int32Array | null): RowBlock[] {
  const blocks: RowBlock[] = [];
  for (let first = 0; first < size;) {
    const end = blockEnd(first, size, meeting);
    const inside = meeting?.slice(first, end).map((k) => (k < 0 ? k : k - first)) ?? null;
    blocks.push({ first, size: end - first, meeting: inside });
    first = end;
  }
  return blocks;
}

/** The last place within reach that nobody meets across, or the next one after it. */
function blockEnd(first: number, size: number, meeting: Int32Array | null): number {
  const reach = Math.min(first + BLOCK_SIZE, size);
  if (meeting === null) return reach;
  let end = 0;
  let furthest = first; // that any input so far meets
  for (let k = first; k < size; k += 1) {
    if (k >= reach && end > 0) break;
    furthest = Math.max(furthest, k, meeting[k]!); // k < size
    if (furthest === k) end = k + 1;
  }
  return end;
}
