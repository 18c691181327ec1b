import type { Random } from '../../numeric/random.ts';
import type { Anatomy } from './anatomy.ts';
import {
  coverEllipse,
  createMask,
  filterMask,
  paintMask,
  type Canvas,
  type Colour,
} from './canvas.ts';

/** Cells of the mottled pigment over the width of the retina, coarse and fine. */
const MOTTLE_CELLS = [5, 14] as const;

/** Paints the fundus without vessels: lit background with mottled pigment, macula and optic disc. */
export function paintRetina(canvas: Canvas, anatomy: Anatomy, random: Random): void {
  paintBackground(canvas, anatomy, random);
  paintMacula(canvas, anatomy);
  paintDisc(canvas, anatomy);
}

function paintBackground(canvas: Canvas, anatomy: Anatomy, random: Random): void {
  const { sizePx, pixels, centrePx, radiusPx } = canvas;
  const mottle = MOTTLE_CELLS.map((cells) => createNoise(cells, random));
  // pixels is [S, S, 3], written once in order.
  for (let row = 0, at = 0; row < sizePx; row += 1) {
    for (let column = 0; column < sizePx; column += 1, at += 3) {
      const x = (column + 0.5 - centrePx.x) / radiusPx;
      const y = (row + 0.5 - centrePx.y) / radiusPx;
      const radiusSquared = x * x + y * y;
      const fall = 1 - anatomy.vignette * radiusSquared * Math.sqrt(radiusSquared);
      const dx = x - anatomy.light.x;
      const dy = y - anatomy.light.y;
      const light = 1 + anatomy.lightUnevenness * (0.5 - Math.min(1, dx * dx + dy * dy));
      const pigment = 1 + 0.07 * mottle[0]!(x, y) + 0.045 * mottle[1]!(x, y);
      const level = fall * light * pigment;
      pixels[at] = anatomy.fundus[0] * level;
      // Pigment absorbs green and blue more than red.
      pixels[at + 1] = anatomy.fundus[1] * level * pigment;
      pixels[at + 2] = anatomy.fundus[2] * level * pigment;
    }
  }
}

function paintMacula(canvas: Canvas, { macula }: Anatomy): void {
  const layers: readonly (readonly [radius: number, softness: number, filter: Colour])[] = [
    [0.24, 1.6, [0.82, 0.74, 0.76]],
    [0.07, 1.2, [0.84, 0.76, 0.8]],
  ];
  for (const [radius, softness, filter] of layers) {
    const mask = createMask(canvas);
    coverEllipse(canvas, mask, {
      centre: macula,
      radiusX: radius * 1.1,
      radiusY: radius,
      angle: 0,
      softness,
    });
    filterMask(canvas, mask, filter);
  }
}

function paintDisc(canvas: Canvas, { disc, discRadius, side }: Anatomy): void {
  const layers: readonly (readonly [
    size: number,
    softness: number,
    colour: Colour,
    opacity: number,
  ])[] = [
    [1.25, 0.7, [236, 160, 84], 0.35],
    [1, 0.18, [250, 204, 124], 0.9],
    [0.5, 0.5, [255, 238, 190], 0.85],
  ];
  for (const [size, softness, colour, opacity] of layers) {
    const mask = createMask(canvas);
    coverEllipse(canvas, mask, {
      centre: { x: disc.x - side * discRadius * 0.1 * (1 - size), y: disc.y },
      radiusX: discRadius * size * 0.92,
      radiusY: discRadius * size,
      angle: 0,
      softness,
    });
    paintMask(canvas, mask, colour, opacity);
  }
}

/** Smooth noise in [-1, 1] over the retina: random values on a grid, cosine-interpolated. */
function createNoise(cells: number, random: Random): (x: number, y: number) => number {
  const side = cells + 2;
  const grid = Float32Array.from({ length: side * side }, () => random.next() * 2 - 1);
  return (x, y) => {
    const u = Math.min(Math.max((x * 0.45 + 0.5) * cells, 0), cells);
    const v = Math.min(Math.max((y * 0.45 + 0.5) * cells, 0), cells);
    const column = Math.floor(u);
    const row = Math.floor(v);
    const across = smooth(u - column);
    const down = smooth(v - row);
    // column and row are at most `cells`, so the neighbours at +1 lie in the grid of cells + 2.
    const at = row * side + column;
    const top = grid[at]! + (grid[at + 1]! - grid[at]!) * across;
    const bottom = grid[at + side]! + (grid[at + side + 1]! - grid[at + side]!) * across;
    return top + (bottom - top) * down;
  };
}

function smooth(t: number): number {
  return t * t * (3 - 2 * t);
}
