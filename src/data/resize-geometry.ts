/** A rectangle of whole pixels. */
export interface PixelBox {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export interface PixelSize {
  readonly width: number;
  readonly height: number;
}

/** The size an image is resized to, and the part of the resized image that is kept. */
export interface ResizeGeometry {
  readonly resized: PixelSize;
  readonly kept: PixelBox;
}

/**
 * Resize of the short side and centre crop with torchvision's rounding (0.29, `functional.resize` and
 * `functional.center_crop`): the long side is `int(size * long / short)`, a crop offset is rounded
 * half to even as Python's `round` does. For a target that is not square the image is scaled to
 * cover it.
 */
export function shortSideGeometry(source: PixelSize, target: PixelSize): ResizeGeometry {
  const isWidthTight = source.width * target.height <= source.height * target.width;
  const resized = isWidthTight
    ? {
        width: target.width,
        height: longSide(target.width, source.height, source.width, target.height),
      }
    : {
        width: longSide(target.height, source.width, source.height, target.width),
        height: target.height,
      };
  return {
    resized,
    kept: {
      left: roundHalfToEven((resized.width - target.width) / 2),
      top: roundHalfToEven((resized.height - target.height) / 2),
      ...target,
    },
  };
}

/**
 * The same for a part of the image: the *whole* image is scaled so that `box` covers the target,
 * and the target is cut out around the middle of the box. Scaling the whole image keeps the
 * decoder's shrink-on-load, which cutting before resizing would lose.
 */
export function boxGeometry(source: PixelSize, box: PixelBox, target: PixelSize): ResizeGeometry {
  const scale = Math.max(target.width / box.width, target.height / box.height);
  const resized = {
    width: Math.max(target.width, Math.round(source.width * scale)),
    height: Math.max(target.height, Math.round(source.height * scale)),
  };
  const left = Math.round((box.left + box.width / 2) * scale - target.width / 2);
  const top = Math.round((box.top + box.height / 2) * scale - target.height / 2);
  return {
    resized,
    kept: {
      left: Math.min(Math.max(left, 0), resized.width - target.width),
      top: Math.min(Math.max(top, 0), resized.height - target.height),
      ...target,
    },
  };
}

function longSide(size: number, long: number, short: number, atLeast: number): number {
  return Math.max(atLeast, Math.trunc((size * long) / short));
}

function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const fraction = value - floor;
  if (fraction !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
