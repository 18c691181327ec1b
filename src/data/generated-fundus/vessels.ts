import type { Random } from '../../numeric/random.ts';
import type { Anatomy } from './anatomy.ts';
import {
  coverEllipse,
  coverStroke,
  createMask,
  filterMask,
  type Canvas,
  type Colour,
  type Mask,
  type Point,
} from './canvas.ts';

interface Segment {
  readonly from: Point;
  readonly to: Point;
  readonly width: number;
}

interface Branch {
  readonly start: Point;
  /** Direction of growth in radians. */
  readonly heading: number;
  readonly width: number;
  readonly length: number;
  /** Turn per unit of length, in radians: the arcades bend around the macula. */
  readonly curvature: number;
  readonly depth: number;
}

const STEP = 0.05;
const VEIN_FILTER: Colour = [0.7, 0.42, 0.46];
const ARTERY_FILTER: Colour = [0.84, 0.6, 0.58];

/**
 * Paints arteries and veins: from the disc one of each along the two temporal arcades around the
 * macula and along two nasal ways, branching as they go. `beading` in [0, 1] gives the veins the
 * sausage-like calibre of severe retinopathy.
 */
export function paintVessels(
  canvas: Canvas,
  anatomy: Anatomy,
  random: Random,
  beading: number,
): void {
  const veins = createMask(canvas);
  const arteries = createMask(canvas);
  for (const vertical of [-1, 1] as const) {
    for (const isTemporal of [true, false]) {
      const trunk = chooseTrunk(anatomy, vertical, isTemporal, random);
      drawBranch(canvas, veins, trunk, random, beading);
      const artery = {
        ...chooseTrunk(anatomy, vertical, isTemporal, random),
        width: trunk.width * 0.72,
      };
      drawBranch(canvas, arteries, artery, random, 0);
    }
  }
  filterMask(canvas, arteries, ARTERY_FILTER);
  filterMask(canvas, veins, VEIN_FILTER);
}

function chooseTrunk(
  { side, disc, discRadius }: Anatomy,
  vertical: 1 | -1,
  isTemporal: boolean,
  random: Random,
): Branch {
  const jitter = (spread: number): number => (random.next() - 0.5) * spread;
  // Temporal trunks start almost vertical and bend towards the macula's side, nasal ones bend away.
  const outwards = isTemporal ? -side : side;
  const steepness = (isTemporal ? 1.25 : 0.9) + jitter(0.35);
  const heading = Math.atan2(vertical * Math.sin(steepness), outwards * Math.cos(steepness));
  const bend = isTemporal ? 0.95 + jitter(0.4) : 0.25 + jitter(0.6);
  return {
    start: { x: disc.x + jitter(0.5) * discRadius, y: disc.y + jitter(0.5) * discRadius },
    heading,
    width: (isTemporal ? 0.04 : 0.03) * (0.85 + 0.3 * random.next()),
    length: isTemporal ? 1.9 : 0.9,
    curvature: vertical * outwards * bend,
    depth: 0,
  };
}

function drawBranch(
  canvas: Canvas,
  mask: Mask,
  branch: Branch,
  random: Random,
  beading: number,
): void {
  let { start: at, heading } = branch;
  const steps = Math.ceil(branch.length / STEP);
  const untilFork = 0.18 + 0.2 * random.next();
  let sinceFork = 0;
  for (let step = 0; step < steps && at.x * at.x + at.y * at.y < 1.1; step += 1) {
    const taper = 1 - (0.6 * step) / steps;
    heading += (-branch.curvature * 0.7 + random.normal() * 1.6) * STEP;
    const to = { x: at.x + Math.cos(heading) * STEP, y: at.y + Math.sin(heading) * STEP };
    const segment = { from: at, to, width: branch.width * taper };
    coverStroke(canvas, mask, segment);
    if (beading > 0 && branch.depth === 0 && step % 2 === 0)
      drawBead(canvas, mask, segment, beading);
    at = to;
    sinceFork += STEP;
    if (sinceFork > untilFork && branch.depth < 3) {
      sinceFork = 0;
      drawBranch(canvas, mask, chooseFork(branch, at, heading, taper, random), random, 0);
    }
  }
}

function chooseFork(
  branch: Branch,
  start: Point,
  heading: number,
  taper: number,
  random: Random,
): Branch {
  const turn = (random.next() < 0.5 ? 1 : -1) * (0.5 + 0.5 * random.next());
  return {
    start,
    heading: heading + turn,
    width: branch.width * taper * 0.62,
    length: branch.length * (0.25 + 0.25 * random.next()),
    curvature: random.normal() * 0.8,
    depth: branch.depth + 1,
  };
}

function drawBead(canvas: Canvas, mask: Mask, { to, width }: Segment, beading: number): void {
  coverEllipse(canvas, mask, {
    centre: to,
    radiusX: width * (0.5 + 0.4 * beading),
    radiusY: width * (0.5 + 0.4 * beading),
    angle: 0,
    softness: 0.3,
  });
}
