import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import sharp, { type Sharp } from 'sharp';
import { decodeImage, decodeStretched } from '../../../src/data/decode-image.ts';
import { DataError } from '../../../src/diagnostics/errors.ts';
import {
  makeJpeg,
  makePngHeader,
  makeWhiteTiff,
  withOrientation,
} from '../../support/picture-fixtures.ts';
import { temporaryFolder } from '../../support/stage-context.ts';

const SIZE = { width: 8, height: 8 };

// torchvision 0.29.2, Pillow: Resize(8), CenterCrop(8) of the 61 x 47 picture of `makePattern`, the
// first two rows and the last, RGB.
const PILLOW_ROWS = new Map([
  [
    0,
    [
      35, 15, 70, 59, 15, 112, 83, 15, 155, 108, 15, 198, 132, 15, 185, 157, 15, 46, 181, 15, 70,
      205, 15, 112,
    ],
  ],
  [
    1,
    [
      35, 42, 86, 59, 42, 128, 83, 42, 171, 108, 42, 212, 132, 42, 125, 157, 42, 44, 181, 42, 86,
      205, 42, 128,
    ],
  ],
  [
    7,
    [
      35, 215, 190, 59, 215, 204, 83, 215, 60, 108, 215, 62, 132, 215, 104, 157, 215, 147, 181, 215,
      190, 205, 215, 203,
    ],
  ],
]);

function makePattern(): Promise<Buffer> {
  const [width, height] = [61, 47];
  const pixels = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      pixels.set([(x * 4) % 256, (y * 5) % 256, (x * 7 + y * 3) % 256], (y * width + x) * 3);
    }
  }
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}

function flat(channels: 3 | 4): Sharp {
  const background = { r: 200, g: 100, b: 50, alpha: 0.5 };
  return sharp({ create: { width: 40, height: 30, channels, background } });
}

/** One colour everywhere, the left half of it invisible. */
function transparent(): Promise<Buffer> {
  const [width, height] = [40, 30];
  const pixels = Buffer.alloc(width * height * 4);
  for (let i = 0; i < width * height; i += 1) {
    pixels.set([200, 100, 50, i % width < width / 2 ? 0 : 255], 4 * i);
  }
  return sharp(pixels, { raw: { width, height, channels: 4 } })
    .png()
    .toBuffer();
}

test('antialiased bilinear agrees with Pillow to two grey levels', async () => {
  const pixels = await decodeImage(await makePattern(), SIZE);
  for (const [row, expected] of PILLOW_ROWS) {
    const received = [...pixels.subarray(row * 24, (row + 1) * 24)];
    const differences = received.map((value, i) => Math.abs(value - (expected[i] ?? NaN)));
    const mean = differences.reduce((a, b) => a + b) / differences.length;
    assert.ok(mean <= 2, `row ${row}: ${received.join()} against ${expected.join()}`);
  }
});

const VARIANTS: readonly (readonly [name: string, make: () => Promise<Buffer>, rgb: number[]])[] = [
  ['8-bit RGB', () => flat(3).png().toBuffer(), [200, 100, 50]],
  ['alpha, which is dropped', () => flat(4).png().toBuffer(), [200, 100, 50]],
  ['transparent pixels, whose colours stay', () => transparent(), [200, 100, 50]],
  ['16 bits a channel', () => flat(3).toColourspace('rgb16').png().toBuffer(), [200, 100, 50]],
  ['a palette', () => flat(3).png({ palette: true }).toBuffer(), [200, 100, 50]],
  // Luma by BT.709 in linear light, as libvips has it: about 127.
  ['grey', () => flat(3).toColourspace('b-w').png().toBuffer(), [128, 128, 128]],
];
for (const [name, make, expected] of VARIANTS) {
  test(`${name} becomes 8-bit RGB`, async () => {
    const pixels = await decodeImage(await make(), SIZE);
    assert.equal(pixels.length, 8 * 8 * 3);
    for (const c of [0, 1, 2]) {
      assert.ok(Math.abs(pixels[c]! - expected[c]!) <= 2, pixels.subarray(0, 3).join());
    }
  });
}

test('CMYK becomes RGB', async () => {
  const cmyk = await flat(3).toColourspace('cmyk').jpeg().toBuffer();
  assert.equal((await sharp(cmyk).metadata()).channels, 4);
  const pixels = await decodeImage(cmyk, SIZE);
  assert.equal(pixels.length, 8 * 8 * 3);
  assert.ok(pixels[0]! > pixels[1]! && pixels[1]! > pixels[2]!, 'still orange');
});

test('EXIF orientation is not applied, as in torchvision', async () => {
  const upright = await makeJpeg(1, 60, 30);
  const turned = await sharp(upright).withMetadata({ orientation: 6 }).jpeg().toBuffer();
  assert.equal((await sharp(turned).metadata()).orientation, 6);
  const [a, b] = [await decodeImage(upright, SIZE), await decodeImage(turned, SIZE)];
  const difference = a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0) / a.length;
  assert.ok(difference < 4, `mean difference ${difference}`);
});

test('the orientation of EXIF is told, 1 where a file has none', async () => {
  const jpeg = await makeJpeg(1, 60, 30);
  const png = await sharp(jpeg).png().toBuffer();
  const told: number[] = [];
  const onOrientation = (orientation: number): void => void told.push(orientation);
  for (const picture of [jpeg, png]) {
    await decodeImage(picture, { ...SIZE, onOrientation });
    const turned = await withOrientation(picture, 6);
    await decodeImage(turned, { ...SIZE, onOrientation });
    await decodeStretched(turned, { ...SIZE, onOrientation });
  }
  assert.deepEqual(told, [1, 6, 6, 1, 6, 6]);
});

test('the retina is cut out of a dark surround', async () => {
  const disc = Buffer.from(
    '<svg width="200" height="100"><rect width="200" height="100" fill="#000"/><circle cx="140" cy="50" r="40" fill="#d08040"/></svg>',
  );
  const photograph = await sharp(disc).png().toBuffer();
  const size = { width: 40, height: 40 };
  const whole = await decodeImage(photograph, size);
  const cut = await decodeImage(photograph, { ...size, circleCrop: true });
  const bright = (pixels: Uint8Array): number =>
    pixels.filter((v, i) => i % 3 === 0 && v > 100).length;
  // A circle fills pi / 4 of its bounding box: 1257 of 1600 pixels.
  assert.ok(Math.abs(bright(cut) - 1257) < 60, String(bright(cut)));
  assert.ok(bright(whole) < 600);
});

test('a text named .jpg is refused with its name', async (t) => {
  const path = join(await temporaryFolder(t), 'notes.jpg');
  await writeFile(path, 'not a photograph');
  await assert.rejects(decodeImage(path, SIZE), (error) => {
    assert.ok(error instanceof DataError);
    assert.equal(error.code, 'data/unreadable-image');
    assert.match(error.message, /notes\.jpg cannot be read as an image/);
    return true;
  });
});

test('a truncated JPEG is refused, also where only its end is missing', async () => {
  const whole = await makeJpeg(2, 300, 200);
  for (const length of [100, Math.floor(whole.length / 2), whole.length - 10]) {
    const cut = whole.subarray(0, length);
    await assert.rejects(
      decodeImage(cut, { ...SIZE, shownName: 'cut.jpg' }),
      /^DataError: cut\.jpg/,
    );
  }
});

test('an image too large is refused from its header, with the limit, and how to raise it where it was given', async () => {
  const png = makePngHeader(30_000, 30_000);
  await assert.rejects(decodeImage(png, { ...SIZE, shownName: 'huge.png' }), (error) => {
    assert.ok(error instanceof DataError);
    assert.equal(error.code, 'data/image-too-large');
    assert.equal(error.message, 'huge.png is 30000 x 30000: 900 megapixels, the limit is 268');
    assert.equal(error.hint, 'leave the image out, or give a smaller copy of it');
    return true;
  });
  await assert.rejects(decodeImage(png, { ...SIZE, limitPixels: 1e8 }), {
    message: 'the image is 30000 x 30000: 900 megapixels, the limit is 100',
    hint: /raise the parameter limitMegapixels/,
  });
  // With the limit raised the same file fails because there is nothing in it.
  const raised = decodeImage(png, { ...SIZE, limitPixels: 1e9 });
  await assert.rejects(raised, { code: 'data/unreadable-image' });
});

test('what libvips could render but is no photograph is refused', async () => {
  const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
  await assert.rejects(decodeImage(svg, SIZE), /^DataError: the image is a SVG file, a format/);
  // BITMAPFILEHEADER and BITMAPINFOHEADER of one pixel; libvips cannot read BMP at all.
  const bmp = Buffer.alloc(58);
  bmp.write('BM');
  bmp.writeUInt32LE(40, 14);
  bmp.writeInt32LE(1, 18);
  bmp.writeInt32LE(1, 22);
  await assert.rejects(decodeImage(bmp, { ...SIZE, shownName: 'a.bmp' }), {
    message: 'a.bmp is a BMP file, a format that is not read',
    hint: 'convert it to JPEG, PNG, TIFF, WebP, GIF or AVIF, or remove it',
  });
});

test('pixels in floating point are refused: nothing tells what is white', async () => {
  // A little-endian TIFF of one strip: 2 x 1 pixels, one channel, 32 bits, SampleFormat 3 (IEEE float).
  const entries: readonly (readonly [tag: number, value: number])[] = [
    ...[[256, 2] as const, [257, 1] as const, [258, 32] as const, [259, 1] as const],
    ...[[262, 1] as const, [273, 8] as const, [277, 1] as const, [278, 1] as const],
    ...[[279, 8] as const, [339, 3] as const],
  ];
  const tiff = Buffer.alloc(16 + 2 + entries.length * 12 + 4);
  tiff.write('II*\0', 'latin1');
  tiff.writeUInt32LE(16, 4);
  tiff.writeFloatLE(0.25, 8);
  tiff.writeFloatLE(0.75, 12);
  tiff.writeUInt16LE(entries.length, 16);
  entries.forEach(([tag, value], i) => {
    const at = 18 + i * 12;
    tiff.writeUInt16LE(tag, at);
    tiff.writeUInt16LE(4, at + 2); // LONG
    tiff.writeUInt32LE(1, at + 4);
    tiff.writeUInt32LE(value, at + 8);
  });
  await assert.rejects(decodeImage(tiff, { ...SIZE, shownName: 'a.tif' }), {
    message: 'a.tif has pixels of type float, whose range is not known',
    hint: 'convert it to 8 or 16 bits a channel, or remove it',
  });
});

test('an uncompressed TIFF that is cut off is refused, its missing rows not black', async () => {
  const whole = makeWhiteTiff(64, 64);
  assert.ok((await decodeImage(whole, SIZE)).every((value) => value === 255));
  for (const fraction of [0.3, 0.9, 0.999]) {
    const cut = whole.subarray(0, Math.round(whole.length * fraction));
    await assert.rejects(decodeImage(cut, SIZE), { code: 'data/unreadable-image' });
  }
});
