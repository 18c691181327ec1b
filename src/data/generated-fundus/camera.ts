import type { Random } from '../../numeric/random.ts';
import type { Canvas } from './canvas.ts';

/** What the camera does to the picture. */
export interface Camera {
  /** Share of the neighbours in each pixel, 0 (sharp) to 1 (a 3 x 3 mean). */
  readonly blur: number;
  /** Half the range of the sensor's noise, in grey levels. */
  readonly noise: number;
  /** Level of the dark surround. */
  readonly surround: number;
}

export function chooseCamera(random: Random): Camera {
  return {
    blur: 0.5 * random.next(),
    noise: 1 + 3 * random.next(),
    surround: 2 + 6 * random.next(),
  };
}

/** The photograph: blurred, masked to the round field of view, with noise; uint8 [S, S, 3]. */
export function takePhotograph(canvas: Canvas, camera: Camera, random: Random): Uint8Array {
  const { sizePx, centrePx, radiusPx } = canvas;
  const pixels = blurred(canvas, camera.blur);
  const photograph = new Uint8Array(pixels.length);
  // Both arrays are [S, S, 3] and read in step.
  for (let row = 0, at = 0; row < sizePx; row += 1) {
    for (let column = 0; column < sizePx; column += 1, at += 3) {
      const dx = column + 0.5 - centrePx.x;
      const dy = row + 0.5 - centrePx.y;
      const inside = Math.min(1, Math.max(0, radiusPx - Math.sqrt(dx * dx + dy * dy)));
      for (let c = at; c < at + 3; c += 1) {
        const level = camera.surround + (pixels[c]! - camera.surround) * inside;
        const noisy = level + (random.next() * 2 - 1) * camera.noise;
        photograph[c] = Math.min(255, Math.max(0, Math.round(noisy)));
      }
    }
  }
  return photograph;
}

/** Each pixel mixed with the mean of its 3 x 3 neighbourhood; the border stays as it is (it is dark). */
function blurred({ pixels, sizePx }: Canvas, share: number): Float32Array {
  const result = Float32Array.from(pixels);
  const rowStride = sizePx * 3;
  for (let row = 1; row < sizePx - 1; row += 1) {
    const end = (row + 1) * rowStride - 3;
    // Neighbours one row and one pixel away exist: the loops leave out the border.
    for (let at = row * rowStride + 3; at < end; at += 1) {
      let sum = 0;
      for (let line = at - rowStride; line <= at + rowStride; line += rowStride) {
        sum += pixels[line - 3]! + pixels[line]! + pixels[line + 3]!;
      }
      result[at] = pixels[at]! * (1 - share) + (sum / 9) * share;
    }
  }
  return result;
}
