import type { Random } from '../../numeric/random.ts';
import type { Anatomy } from './anatomy.ts';
import {
  coverEllipse,
  coverStroke,
  createMask,
  filterMask,
  paintMask,
  type Canvas,
  type Colour,
  type Mask,
  type Point,
} from './canvas.ts';

/** What a lesion painter needs; each draws `count` lesions. */
export interface LesionContext {
  readonly canvas: Canvas;
  readonly anatomy: Anatomy;
  readonly random: Random;
}

const BLOOD: Colour = [0.6, 0.2, 0.22];
const DARK_BLOOD: Colour = [0.5, 0.18, 0.2];
const EXUDATE: Colour = [255, 236, 120];
const COTTON_WOOL: Colour = [246, 232, 205];
const FIBROUS_TISSUE: Colour = [214, 208, 178];

/** Microaneurysms: small round red dots, densest around the macula. */
export function paintMicroaneurysms(
  { canvas, anatomy, random }: LesionContext,
  count: number,
): void {
  const mask = createMask(canvas);
  for (let i = 0; i < count; i += 1) {
    const radius = between(random, 0.022, 0.032);
    coverEllipse(canvas, mask, round(pointInRetina(random, anatomy, 0.75), radius, 0.35));
  }
  filterMask(canvas, mask, BLOOD);
}

/** Haemorrhages: blots with ragged outlines, and flames drawn out along the nerve fibres. */
export function paintHaemorrhages({ canvas, anatomy, random }: LesionContext, count: number): void {
  const mask = createMask(canvas);
  for (let i = 0; i < count; i += 1) {
    const centre = pointInRetina(random, anatomy, 0.9);
    if (random.next() < 0.3) {
      const angle = Math.atan2(centre.y - anatomy.disc.y, centre.x - anatomy.disc.x);
      const radiusX = between(random, 0.06, 0.11);
      coverEllipse(canvas, mask, {
        centre,
        radiusX,
        radiusY: radiusX * 0.35,
        angle,
        softness: 0.5,
      });
    } else {
      coverBlot(canvas, mask, random, centre, between(random, 0.035, 0.065));
    }
  }
  filterMask(canvas, mask, DARK_BLOOD);
}

/** Hard exudates: groups of small bright yellow waxy dots, often in a ring about the macula. */
export function paintExudates({ canvas, anatomy, random }: LesionContext, count: number): void {
  const mask = createMask(canvas);
  for (let i = 0; i < count; i += 1) {
    const angle = random.next() * 2 * Math.PI;
    const distance = between(random, 0.16, 0.42);
    const middle = {
      x: anatomy.macula.x + Math.cos(angle) * distance,
      y: anatomy.macula.y + Math.sin(angle) * distance,
    };
    const dotCount = 8 + random.integer(9);
    for (let dot = 0; dot < dotCount; dot += 1) {
      const centre = {
        x: middle.x + random.normal() * 0.055,
        y: middle.y + random.normal() * 0.055,
      };
      coverBlot(canvas, mask, random, centre, between(random, 0.012, 0.026));
    }
  }
  paintMask(canvas, mask, EXUDATE, 0.88);
}

/** Cotton-wool spots: pale patches with feathered edges along the arcades. */
export function paintCottonWool({ canvas, anatomy, random }: LesionContext, count: number): void {
  const mask = createMask(canvas);
  for (let i = 0; i < count; i += 1) {
    const centre = pointInRetina(random, anatomy, 0.8);
    const radius = between(random, 0.06, 0.1);
    for (let puff = 0; puff < 3; puff += 1) {
      coverEllipse(canvas, mask, {
        centre: { x: centre.x + random.normal() * 0.03, y: centre.y + random.normal() * 0.03 },
        radiusX: radius * between(random, 0.7, 1),
        radiusY: radius * between(random, 0.4, 0.7),
        angle: random.next() * Math.PI,
        softness: 1,
      });
    }
  }
  paintMask(canvas, mask, COTTON_WOOL, 0.74);
}

/** New vessels: fans of fine tangled loops, one at the disc and the others elsewhere. */
export function paintNewVessels({ canvas, anatomy, random }: LesionContext, count: number): void {
  const mask = createMask(canvas);
  for (let i = 0; i < count; i += 1) {
    const root = i === 0 ? anatomy.disc : pointInRetina(random, anatomy, 0.65);
    const strandCount = 9 + random.integer(5);
    for (let strand = 0; strand < strandCount; strand += 1) {
      coverTangle(canvas, mask, random, root);
    }
  }
  filterMask(canvas, mask, [0.72, 0.24, 0.26]);
}

/** Preretinal haemorrhage: a boat of blood with a level upper edge, pooled in front of the retina. */
export function paintBoatHaemorrhages(
  { canvas, anatomy, random }: LesionContext,
  count: number,
): void {
  const mask = createMask(canvas);
  for (let i = 0; i < count; i += 1) {
    const centre = pointInRetina(random, anatomy, 0.6);
    const radius = between(random, 0.16, 0.24);
    const boat = createMask(canvas);
    coverEllipse(canvas, boat, round(centre, radius, 0.15));
    const levelPx = canvas.centrePx.y + (centre.y - radius * 0.1) * canvas.radiusPx;
    const firstRow = Math.min(canvas.sizePx, Math.max(0, Math.round(levelPx)));
    for (let p = firstRow * canvas.sizePx; p < boat.length; p += 1) {
      if (boat[p]! > mask[p]!) mask[p] = boat[p]!; // both masks are [S, S]
    }
  }
  filterMask(canvas, mask, [0.46, 0.13, 0.15]);
}

/** Fibrovascular membranes: grey-white sheets and bands that pull on the retina. */
export function paintFibrousTissue(
  { canvas, anatomy, random }: LesionContext,
  count: number,
): void {
  const mask = createMask(canvas);
  for (let i = 0; i < count; i += 1) {
    let at = i === 0 ? anatomy.disc : pointInRetina(random, anatomy, 0.6);
    let heading = random.next() * 2 * Math.PI;
    const width = between(random, 0.05, 0.1);
    for (let step = 0; step < 14; step += 1) {
      heading += random.normal() * 0.25;
      const to = { x: at.x + Math.cos(heading) * 0.06, y: at.y + Math.sin(heading) * 0.06 };
      coverEllipse(canvas, mask, {
        centre: to,
        radiusX: 0.08,
        radiusY: width * between(random, 0.5, 1.1),
        angle: heading,
        softness: 0.8,
      });
      at = to;
    }
  }
  paintMask(canvas, mask, FIBROUS_TISSUE, 0.7);
}

/** Vitreous haemorrhage: clouds of blood that hide what lies behind them. */
export function paintVitreousHaemorrhage(
  { canvas, anatomy, random }: LesionContext,
  count: number,
): void {
  const mask = createMask(canvas);
  for (let i = 0; i < count; i += 1) {
    const centre = pointInRetina(random, anatomy, 0.7);
    for (let puff = 0; puff < 6; puff += 1) {
      coverEllipse(canvas, mask, {
        centre: { x: centre.x + random.normal() * 0.14, y: centre.y + random.normal() * 0.1 },
        radiusX: between(random, 0.12, 0.3),
        radiusY: between(random, 0.08, 0.2),
        angle: random.next() * Math.PI,
        softness: 1,
      });
    }
  }
  filterMask(canvas, mask, [0.42, 0.17, 0.19]);
}

function coverBlot(
  canvas: Canvas,
  mask: Mask,
  random: Random,
  centre: Point,
  radius: number,
): void {
  for (let lobe = 0; lobe < 3; lobe += 1) {
    coverEllipse(canvas, mask, {
      centre: {
        x: centre.x + random.normal() * radius * 0.35,
        y: centre.y + random.normal() * radius * 0.35,
      },
      radiusX: radius * between(random, 0.6, 1),
      radiusY: radius * between(random, 0.5, 0.9),
      angle: random.next() * Math.PI,
      softness: 0.35,
    });
  }
}

function coverTangle(canvas: Canvas, mask: Mask, random: Random, root: Point): void {
  let at = root;
  let heading = random.next() * 2 * Math.PI;
  const curl = random.normal() * 9;
  const stepCount = 9 + random.integer(8);
  for (let step = 0; step < stepCount; step += 1) {
    heading += (curl + random.normal() * 6) * 0.03;
    const to = { x: at.x + Math.cos(heading) * 0.03, y: at.y + Math.sin(heading) * 0.03 };
    coverStroke(canvas, mask, { from: at, to, width: 0.016 });
    at = to;
  }
}

/** A point inside the retina, clear of the fovea and the disc. */
function pointInRetina(random: Random, anatomy: Anatomy, reach: number): Point {
  for (;;) {
    const point = { x: between(random, -reach, reach), y: between(random, -reach, reach) };
    const isInside = point.x * point.x + point.y * point.y < reach * reach;
    if (isInside && distance(point, anatomy.disc) > anatomy.discRadius * 1.4) return point;
  }
}

function distance(a: Point, b: Point): number {
  return Math.sqrt((a.x - b.x) ** 2 + (a.y - b.y) ** 2);
}

function round(
  centre: Point,
  radius: number,
  softness: number,
): Parameters<typeof coverEllipse>[2] {
  return { centre, radiusX: radius, radiusY: radius, angle: 0, softness };
}

function between(random: Random, low: number, high: number): number {
  return low + (high - low) * random.next();
}
