import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boxGeometry, shortSideGeometry } from '../../../src/data/resize-geometry.ts';

// Taken from torchvision 0.29.2 (Resize, then where CenterCrop's first pixel lies):
// source width, height, size, resized width, height, crop left, top. 225 and 229 have offsets of 0.5
// and 2.5, which Python rounds to even.
const TORCHVISION = [
  [771, 512, 224, 337, 224, 56, 0],
  [512, 771, 224, 224, 337, 0, 56],
  [4288, 2848, 224, 337, 224, 56, 0],
  [100, 100, 224, 224, 224, 0, 0],
  [227, 225, 224, 225, 224, 0, 0],
  [229, 224, 224, 229, 224, 2, 0],
  [226, 224, 224, 226, 224, 1, 0],
  [230, 224, 224, 230, 224, 3, 0],
  [333, 1000, 96, 96, 288, 0, 96],
] as const;

for (const [width, height, size, resizedWidth, resizedHeight, left, top] of TORCHVISION) {
  test(`${width} x ${height} to ${size} as torchvision rounds`, () => {
    const geometry = shortSideGeometry({ width, height }, { width: size, height: size });
    assert.deepEqual(geometry, {
      resized: { width: resizedWidth, height: resizedHeight },
      kept: { left, top, width: size, height: size },
    });
  });
}

test('a target that is not square is covered', () => {
  // 100 x 100 to 60 x 20: scaled by 0.6 to 60 x 60, then 20 rows of the middle.
  assert.deepEqual(shortSideGeometry({ width: 100, height: 100 }, { width: 60, height: 20 }), {
    resized: { width: 60, height: 60 },
    kept: { left: 0, top: 20, width: 60, height: 20 },
  });
});

test('a box in a corner is cut out where it lies, inside the image', () => {
  // A box of 50 in 200 x 100 to 25: scaled by 0.5 to 100 x 50, the box lies at 75.
  const box = { left: 150, top: 0, width: 50, height: 50 };
  assert.deepEqual(boxGeometry({ width: 200, height: 100 }, box, { width: 25, height: 25 }), {
    resized: { width: 100, height: 50 },
    kept: { left: 75, top: 0, width: 25, height: 25 },
  });
});
