import type { Random } from '../../numeric/random.ts';
import type { Colour, Point } from './canvas.ts';

/** What varies from one healthy eye, and one photograph of it, to the next. */
export interface Anatomy {
  /** 1: the optic disc lies to the right of the macula, -1: to the left. */
  readonly side: 1 | -1;
  readonly disc: Point;
  readonly discRadius: number;
  readonly macula: Point;
  /** Colour of the fundus at its brightest. */
  readonly fundus: Colour;
  /** How much darker the rim is than the centre, a fraction. */
  readonly vignette: number;
  /** Where the light falls brightest, and how uneven it is. */
  readonly light: Point;
  readonly lightUnevenness: number;
}

/** Fundus colours from dark pigmented over orange to pale and pink, as photographs show them. */
const FUNDUS_COLOURS: readonly Colour[] = [
  [150, 66, 26],
  [188, 92, 34],
  [214, 118, 48],
  [204, 116, 84],
  [186, 108, 92],
];

export function chooseAnatomy(random: Random): Anatomy {
  const between = (low: number, high: number): number => low + (high - low) * random.next();
  const side = random.next() < 0.5 ? 1 : -1;
  const disc = { x: side * between(0.5, 0.66), y: between(-0.14, 0.1) };
  const first = FUNDUS_COLOURS[random.integer(FUNDUS_COLOURS.length)]!; // integer < length
  const second = FUNDUS_COLOURS[random.integer(FUNDUS_COLOURS.length)]!;
  const blend = random.next();
  const brightness = between(0.88, 1.08);
  const mix = (c: 0 | 1 | 2): number => (first[c] + (second[c] - first[c]) * blend) * brightness;
  return {
    side,
    disc,
    discRadius: between(0.125, 0.155),
    macula: { x: disc.x - side * between(0.68, 0.78), y: disc.y + between(0.03, 0.13) },
    fundus: [mix(0), mix(1), mix(2)],
    vignette: between(0.25, 0.5),
    light: { x: between(-0.4, 0.4), y: between(-0.4, 0.4) },
    lightUnevenness: between(0.04, 0.2),
  };
}
