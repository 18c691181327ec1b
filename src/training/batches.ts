import type { ShardReader, Normalization } from '../data/image-shards.ts';
import { imageByteCount } from '../data/image-shards.ts';
import type { Split } from '../data/dataset-index.ts';
import { createRandom, type Random } from '../numeric/random.ts';

export interface Batch {
  /** Normalized, [N, H, W, 3]; the source's own, which its next batch is written over. */
  readonly imagesNhwc: Float32Array;
  readonly labels: Int32Array;
}

/** Random changes made anew each time an image is read; none of them costs more than the copy. */
export interface ImageChanges {
  readonly flip: 'none' | 'horizontal' | 'both';
  /** Largest shift along each axis, as a fraction of the side; what comes in is black. */
  readonly shiftFraction: number;
}
export const NO_CHANGES: ImageChanges = { flip: 'none', shiftFraction: 0 };

/** Pixels on their way from the disk; `finish` turns them into a batch. */
export interface PendingBatch {
  finish(): Promise<Batch>;
}

export interface BatchSource {
  /**
   * Starts reading images. The reads go on in libuv's threads while JavaScript is busy in a training
   * step; the conversion to floats happens in `finish`. The same `stream` gives the same changes.
   */
  request(
    split: Split,
    indices: readonly number[],
    changes: ImageChanges,
    stream: string,
  ): PendingBatch;
}

export function createBatchSource(reader: ShardReader, seed: number): BatchSource {
  const { shards } = reader;
  const byteCount = imageByteCount(shards);
  const table = normalizationTable(shards.normalization);
  // Used again and again: 24 MB a step of garbage, which V8 hardly sees, would be native memory in pieces.
  let values = new Float32Array();
  let sparePixels: Uint8Array = new Uint8Array();
  const takePixels = (size: number): Uint8Array => {
    const taken = sparePixels.length >= size ? sparePixels : new Uint8Array(size);
    sparePixels = new Uint8Array(); // who reads ahead needs others
    return taken;
  };
  return {
    request(split, indices, changes, stream) {
      const size = byteCount * indices.length;
      const pixels = takePixels(size);
      const reads = Promise.all(
        indices.map((index, position) => reader.read(split, index, pixels, position * byteCount)),
      );
      // The error is taken up by `finish`; without this a failed read would end the process first.
      reads.catch(() => undefined);
      return {
        async finish() {
          await reads;
          if (values.length < size) values = new Float32Array(size);
          const imagesNhwc = values.subarray(0, size);
          const labels = new Int32Array(indices.length);
          const timesSeen = new Map<number, number>();
          indices.forEach((index, position) => {
            const seen = timesSeen.get(index) ?? 0;
            timesSeen.set(index, seen + 1);
            // An image that comes twice in a batch is changed in two ways.
            const own = seen === 0 ? `${stream}/${index}` : `${stream}/${index}/${seen}`;
            const random = createRandom(seed, `image-changes/${own}`);
            const offset = position * byteCount;
            convertImage({
              pixels: pixels.subarray(offset, offset + byteCount),
              target: imagesNhwc.subarray(offset, offset + byteCount),
              width: shards.width,
              height: shards.height,
              table,
              change: drawChange(changes, shards, random),
            });
            labels[position] = shards.splits[split].entries[index]?.label ?? 0;
          });
          sparePixels = pixels;
          return { imagesNhwc, labels };
        },
      };
    },
  };
}

interface Change {
  readonly flipColumns: boolean;
  readonly flipRows: boolean;
  readonly shiftColumns: number;
  readonly shiftRows: number;
}

function drawChange(
  { flip, shiftFraction }: ImageChanges,
  { width, height }: { width: number; height: number },
  random: Random,
): Change {
  const shift = (size: number): number => {
    const largest = Math.round(size * shiftFraction);
    return largest === 0 ? 0 : random.integer(2 * largest + 1) - largest;
  };
  return {
    flipColumns: flip !== 'none' && random.next() < 0.5,
    flipRows: flip === 'both' && random.next() < 0.5,
    shiftColumns: shift(width),
    shiftRows: shift(height),
  };
}

/** Value of each of the 256 levels in each of the 3 channels: [level * 3 + channel]. */
function normalizationTable({ mean, std }: Normalization): Float32Array {
  const table = new Float32Array(256 * 3);
  for (let level = 0; level < 256; level += 1) {
    for (const c of [0, 1, 2] as const) table[level * 3 + c] = (level / 255 - mean[c]) / std[c];
  }
  return table;
}

/** uint8 [H, W, 3] → float32 [H, W, 3], normalized, flipped and shifted. */
function convertImage({
  pixels,
  target,
  width,
  height,
  table,
  change: { flipColumns, flipRows, shiftColumns, shiftRows },
}: {
  pixels: Uint8Array;
  target: Float32Array;
  width: number;
  height: number;
  table: Float32Array;
  change: Change;
}): void {
  let to = 0;
  // Rows and columns outside the image are black; inside, every index is below width * height * 3,
  // and the table has an entry for every level and channel.
  for (let row = 0; row < height; row += 1) {
    const sourceRow = (flipRows ? height - 1 - row : row) + shiftRows;
    const rowInside = sourceRow >= 0 && sourceRow < height;
    for (let column = 0; column < width; column += 1, to += 3) {
      const sourceColumn = (flipColumns ? width - 1 - column : column) + shiftColumns;
      const inside = rowInside && sourceColumn >= 0 && sourceColumn < width;
      const from = (sourceRow * width + sourceColumn) * 3;
      target[to] = table[(inside ? pixels[from]! : 0) * 3]!;
      target[to + 1] = table[(inside ? pixels[from + 1]! : 0) * 3 + 1]!;
      target[to + 2] = table[(inside ? pixels[from + 2]! : 0) * 3 + 2]!;
    }
  }
}
