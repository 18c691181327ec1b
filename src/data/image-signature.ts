/** Sides of the grey thumbnail a signature is made from. */
export const SIGNATURE_SIZE = { width: 17, height: 16 } as const;

/** A photograph in small: bits that survive recompression, and the thumbnail to confirm a match with. */
export interface ImageSignature {
  /** Bit x of word y: whether the thumbnail grows brighter from column x to x + 1 in row y. */
  readonly gradientBits: Uint16Array;
  /** Grey levels [16, 17]. */
  readonly thumbnail: Uint8Array;
}

/** Most of the 256 bits in which two versions of one photograph may differ. */
const MAXIMUM_BIT_DIFFERENCE = 20;
/** Most they may differ in mean grey level of the thumbnail's pixels. */
const MAXIMUM_LEVEL_DIFFERENCE = 2;
/** Every pair is compared up to this many images (about a second); beyond it the search is left out. */
export const MAXIMUM_COMPARED_IMAGES = 10_000;

/** The signature of packed RGB pixels [16, 17, 3]. */
export function createSignature(pixels: Uint8Array): ImageSignature {
  const { width, height } = SIGNATURE_SIZE;
  const thumbnail = new Uint8Array(width * height);
  // Green carries most of the contrast of fundus photographs.
  for (let p = 0; p < thumbnail.length; p += 1) thumbnail[p] = pixels[p * 3 + 1]!; // [.., 3]
  const gradientBits = new Uint16Array(height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x + 1 < width; x += 1) {
      const at = y * width + x; // x + 1 < width keeps the neighbour in the row
      if (thumbnail[at + 1]! > thumbnail[at]!) gradientBits[y]! |= 1 << x;
    }
  }
  return { gradientBits, thumbnail };
}

/** Whether both show the same photograph, resized or compressed anew. */
export function areNearlyIdentical(a: ImageSignature, b: ImageSignature): boolean {
  let differing = 0;
  for (let y = 0; y < SIGNATURE_SIZE.height; y += 1) {
    differing += countBits(a.gradientBits[y]! ^ b.gradientBits[y]!); // 16 words each
    if (differing > MAXIMUM_BIT_DIFFERENCE) return false;
  }
  let levels = 0;
  for (let p = 0; p < a.thumbnail.length; p += 1) {
    levels += Math.abs(a.thumbnail[p]! - b.thumbnail[p]!); // same size
  }
  return levels / a.thumbnail.length <= MAXIMUM_LEVEL_DIFFERENCE;
}

/** Set bits of a 16-bit word, by the usual divide and conquer. */
function countBits(word: number): number {
  const pairs = word - ((word >> 1) & 0x5555);
  const nibbles = (pairs & 0x3333) + ((pairs >> 2) & 0x3333);
  const bytes = (nibbles + (nibbles >> 4)) & 0x0f0f;
  return (bytes + (bytes >> 8)) & 0x1f;
}
