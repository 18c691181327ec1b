/** Red, green and blue, 0 to 255. */
export type Colour = readonly [number, number, number];

/** A point in units of the retina's radius, origin at its centre, y downwards. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Pixels being drawn, float32 [S, S, 3], 0 to 255, and where the retina lies in them. */
export interface Canvas {
  readonly sizePx: number;
  readonly pixels: Float32Array;
  readonly centrePx: Point;
  readonly radiusPx: number;
}

/** How much of each pixel a shape covers, float32 [S, S], 0 to 1; overlapping parts count once. */
export type Mask = Float32Array;

export function createMask(canvas: Canvas): Mask {
  return new Float32Array(canvas.sizePx * canvas.sizePx);
}

/** What a shape looks like: an ellipse, its long axis turned by `angle` radians. */
export interface Ellipse {
  readonly centre: Point;
  readonly radiusX: number;
  readonly radiusY: number;
  readonly angle: number;
  /** Width of the soft edge as a share of the radius; an edge is never sharper than a pixel. */
  readonly softness: number;
}

/** Adds an ellipse to the mask. */
export function coverEllipse(canvas: Canvas, mask: Mask, ellipse: Ellipse): void {
  const { sizePx, radiusPx, centrePx } = canvas;
  const longest = Math.max(ellipse.radiusX, ellipse.radiusY);
  const shortestPx = Math.min(ellipse.radiusX, ellipse.radiusY) * radiusPx;
  const edge = Math.max(ellipse.softness, 1 / Math.max(shortestPx, 0.5));
  const reachPx = longest * radiusPx * (1 + edge) + 1;
  const x = centrePx.x + ellipse.centre.x * radiusPx;
  const y = centrePx.y + ellipse.centre.y * radiusPx;
  const cosine = Math.cos(ellipse.angle);
  const sine = Math.sin(ellipse.angle);
  const box = clampBox(sizePx, x - reachPx, y - reachPx, x + reachPx, y + reachPx);
  // The box is clamped to the canvas, so every index lies in the mask.
  for (let row = box.top; row <= box.bottom; row += 1) {
    for (let column = box.left; column <= box.right; column += 1) {
      const dx = (column + 0.5 - x) / radiusPx;
      const dy = (row + 0.5 - y) / radiusPx;
      const u = (dx * cosine + dy * sine) / ellipse.radiusX;
      const v = (dy * cosine - dx * sine) / ellipse.radiusY;
      const coverage = (1 - Math.sqrt(u * u + v * v)) / edge + 0.5;
      cover(mask, row * sizePx + column, coverage);
    }
  }
}

/** Adds a straight stroke with round ends to the mask; `width` in units of the retina's radius. */
export function coverStroke(
  canvas: Canvas,
  mask: Mask,
  { from, to, width }: { readonly from: Point; readonly to: Point; readonly width: number },
): void {
  const { sizePx, radiusPx, centrePx } = canvas;
  const x0 = centrePx.x + from.x * radiusPx;
  const y0 = centrePx.y + from.y * radiusPx;
  const dx = (to.x - from.x) * radiusPx;
  const dy = (to.y - from.y) * radiusPx;
  const halfWidthPx = (width * radiusPx) / 2;
  // A stroke thinner than a pixel covers only part of the pixels it crosses.
  const strength = Math.min(1, halfWidthPx * 2);
  const reachPx = halfWidthPx + 1;
  const lengthSquared = Math.max(dx * dx + dy * dy, 1e-9);
  const box = clampBox(
    sizePx,
    Math.min(x0, x0 + dx) - reachPx,
    Math.min(y0, y0 + dy) - reachPx,
    Math.max(x0, x0 + dx) + reachPx,
    Math.max(y0, y0 + dy) + reachPx,
  );
  for (let row = box.top; row <= box.bottom; row += 1) {
    for (let column = box.left; column <= box.right; column += 1) {
      const px = column + 0.5 - x0;
      const py = row + 0.5 - y0;
      const along = Math.min(1, Math.max(0, (px * dx + py * dy) / lengthSquared));
      const ex = px - along * dx;
      const ey = py - along * dy;
      const coverage = halfWidthPx + 0.5 - Math.sqrt(ex * ex + ey * ey);
      cover(mask, row * sizePx + column, Math.min(1, coverage) * strength);
    }
  }
}

/** Paints `colour` where the mask covers, as strongly as `opacity` says. */
export function paintMask(canvas: Canvas, mask: Mask, colour: Colour, opacity: number): void {
  const { pixels } = canvas;
  // mask is [S, S], pixels [S, S, 3].
  for (let p = 0, at = 0; p < mask.length; p += 1, at += 3) {
    const share = mask[p]! * opacity;
    if (share <= 0) continue;
    for (let c = 0; c < 3; c += 1) {
      pixels[at + c]! += (colour[c as 0 | 1 | 2] - pixels[at + c]!) * share;
    }
  }
}

/** Filters the light where the mask covers, as blood and pigment do: each channel times `filter`. */
export function filterMask(canvas: Canvas, mask: Mask, filter: Colour): void {
  const { pixels } = canvas;
  for (let p = 0, at = 0; p < mask.length; p += 1, at += 3) {
    const share = mask[p]!;
    if (share <= 0) continue;
    for (let c = 0; c < 3; c += 1) pixels[at + c]! *= 1 - share * (1 - filter[c as 0 | 1 | 2]);
  }
}

function cover(mask: Mask, at: number, coverage: number): void {
  const bounded = coverage > 1 ? 1 : coverage;
  if (bounded > mask[at]!) mask[at] = bounded;
}

function clampBox(
  sizePx: number,
  left: number,
  top: number,
  right: number,
  bottom: number,
): { left: number; top: number; right: number; bottom: number } {
  return {
    left: Math.max(0, Math.floor(left)),
    top: Math.max(0, Math.floor(top)),
    right: Math.min(sizePx - 1, Math.ceil(right)),
    bottom: Math.min(sizePx - 1, Math.ceil(bottom)),
  };
}
