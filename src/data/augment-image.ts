import type { Random } from '../numeric/random.ts';
import type { PixelSize } from './resize-geometry.ts';

/** Largest random change of each kind; 0 switches it off. */
export interface AugmentationRanges {
  /** Chance of a left-right flip. */
  readonly flipProbability: number;
  /** The angle is uniform in [-rotationDegrees, rotationDegrees]. */
  readonly rotationDegrees: number;
  /** The factor is uniform in [1 - brightness, 1 + brightness]. */
  readonly brightness: number;
  /** The same, about the image's mean grey level. */
  readonly contrast: number;
}

/**
 * A randomly changed copy of packed RGB pixels [H, W, 3]: flipped, rotated about the centre (bilinear,
 * black outside), then brightness and contrast as torchvision's ColorJitter defines them. Takes the
 * same number of random values whatever the ranges, so that switching one off leaves the others.
 */
export function augmentImage(
  pixels: Uint8Array,
  size: PixelSize,
  ranges: AugmentationRanges,
  random: Random,
): Uint8Array {
  const isFlipped = random.next() < ranges.flipProbability;
  const degrees = (random.next() * 2 - 1) * ranges.rotationDegrees;
  const brightness = 1 + (random.next() * 2 - 1) * ranges.brightness;
  const contrast = 1 + (random.next() * 2 - 1) * ranges.contrast;
  let result = isFlipped ? flipHorizontally(pixels, size) : Uint8Array.from(pixels);
  if (degrees !== 0) result = rotate(result, size, degrees);
  if (brightness !== 1) blendWithLevel(result, 0, brightness);
  if (contrast !== 1) blendWithLevel(result, meanGreyLevel(result), contrast);
  return result;
}

/** A mirrored copy of [H, W, 3] pixels. */
export function flipHorizontally(pixels: Uint8Array, { width, height }: PixelSize): Uint8Array {
  const result = new Uint8Array(pixels.length);
  // Indices stay inside [H, W, 3]: `from` runs over each row backwards, `to` forwards.
  for (let y = 0, to = 0; y < height; y += 1) {
    let from = (y * width + width - 1) * 3;
    for (let x = 0; x < width; x += 1, to += 3, from -= 3) {
      result[to] = pixels[from]!;
      result[to + 1] = pixels[from + 1]!;
      result[to + 2] = pixels[from + 2]!;
    }
  }
  return result;
}

/** A copy of [H, W, 3] pixels turned counter-clockwise by `degrees` about the centre. */
export function rotate(pixels: Uint8Array, size: PixelSize, degrees: number): Uint8Array {
  const { width, height } = size;
  const result = new Uint8Array(pixels.length);
  const radians = (degrees * Math.PI) / 180;
  const cosine = Math.cos(radians);
  const sine = Math.sin(radians);
  const centreX = (width - 1) / 2;
  const centreY = (height - 1) / 2;
  for (let y = 0, to = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, to += 3) {
      const sourceX = (x - centreX) * cosine - (y - centreY) * sine + centreX;
      const sourceY = (x - centreX) * sine + (y - centreY) * cosine + centreY;
      sampleBilinear(pixels, size, { x: sourceX, y: sourceY }, result, to);
    }
  }
  return result;
}

/** Writes the pixel of `pixels` at a fractional place to `result` at `to`; outside it is black. */
function sampleBilinear(
  pixels: Uint8Array,
  { width, height }: PixelSize,
  at: { readonly x: number; readonly y: number },
  result: Uint8Array,
  to: number,
): void {
  const left = Math.floor(at.x);
  const top = Math.floor(at.y);
  if (left < -1 || top < -1 || left >= width || top >= height) return;
  const across = at.x - left;
  const down = at.y - top;
  for (let c = 0; c < 3; c += 1) {
    let level = 0;
    for (let dy = 0; dy < 2; dy += 1) {
      for (let dx = 0; dx < 2; dx += 1) {
        const x = left + dx;
        const y = top + dy;
        if (x < 0 || y < 0 || x >= width || y >= height) continue;
        const weight = (dx === 0 ? 1 - across : across) * (dy === 0 ? 1 - down : down);
        level += pixels[(y * width + x) * 3 + c]! * weight; // x and y were checked
      }
    }
    result[to + c] = Math.round(level);
  }
}

/** level + (pixel - level) * factor in place, truncated and saturated as torchvision does for uint8. */
function blendWithLevel(pixels: Uint8Array, level: number, factor: number): void {
  const table = Uint8Array.from({ length: 256 }, (_, value) =>
    Math.min(255, Math.max(0, Math.trunc(level + (value - level) * factor))),
  );
  for (let i = 0; i < pixels.length; i += 1) pixels[i] = table[pixels[i]!]!; // a byte indexes 256
}

/** Mean luma with the weights of ITU-R BT.601, which Pillow and torchvision use. */
function meanGreyLevel(pixels: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < pixels.length; i += 3) {
    sum += 0.299 * pixels[i]! + 0.587 * pixels[i + 1]! + 0.114 * pixels[i + 2]!; // [.., 3]
  }
  return sum / (pixels.length / 3);
}
