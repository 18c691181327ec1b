import type { PixelBox } from './resize-geometry.ts';

/** Brightest channel, 0 to 255, above which a pixel belongs to the retina and not to the dark surround. */
const RETINA_LEVEL = 24;
/** Share of a row or column that must be bright for it to count, so that reflections and text do not. */
const BRIGHT_FRACTION = 0.03;
/** A box narrower than this share of the image is no retina: the photograph is taken whole. */
const SMALLEST_FRACTION = 0.2;

/**
 * The bounding box of the bright retina in packed RGB pixels, or null when there is none to be told
 * from a surround (an image that is bright to its edges gives the whole image).
 */
export function findRetinaBox(
  pixels: Uint8Array,
  size: { readonly width: number; readonly height: number },
): PixelBox | null {
  const { width, height } = size;
  const brightInRow = new Uint32Array(height);
  const brightInColumn = new Uint32Array(width);
  // pixels is [H, W, 3]; every index stays inside because the loops end at height and width.
  for (let y = 0, at = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, at += 3) {
      const level = Math.max(pixels[at]!, pixels[at + 1]!, pixels[at + 2]!);
      if (level > RETINA_LEVEL) {
        brightInRow[y]! += 1;
        brightInColumn[x]! += 1;
      }
    }
  }
  const rows = outermost(brightInRow, width * BRIGHT_FRACTION);
  const columns = outermost(brightInColumn, height * BRIGHT_FRACTION);
  if (rows === null || columns === null) return null;
  const box = {
    left: columns.first,
    top: rows.first,
    width: columns.last - columns.first + 1,
    height: rows.last - rows.first + 1,
  };
  const isTooSmall =
    box.width < width * SMALLEST_FRACTION || box.height < height * SMALLEST_FRACTION;
  return isTooSmall ? null : box;
}

function outermost(counts: Uint32Array, above: number): { first: number; last: number } | null {
  const first = counts.findIndex((count) => count > above);
  if (first < 0) return null;
  return { first, last: counts.findLastIndex((count) => count > above) };
}
