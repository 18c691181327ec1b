import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp, { type Sharp } from 'sharp';
import { decodeStretched } from '../../../src/data/decode-image.ts';
import {
  areNearlyIdentical,
  createSignature,
  SIGNATURE_SIZE,
  type ImageSignature,
} from '../../../src/data/image-signature.ts';
import { drawFundus } from '../../../src/data/generated-fundus/draw-fundus.ts';
import { createRandom } from '../../../src/numeric/random.ts';

const SIZE_PX = 160;

function draw(stream: string): Sharp {
  const pixels = drawFundus({ grade: 2, sizePx: SIZE_PX, random: createRandom(0, stream) });
  return sharp(pixels, { raw: { width: SIZE_PX, height: SIZE_PX, channels: 3 } });
}

async function sign(image: Sharp): Promise<ImageSignature> {
  return createSignature(await decodeStretched(await image.toBuffer(), SIGNATURE_SIZE));
}

test('a photograph resized and compressed anew is recognised, another is not', async () => {
  const original = await sign(draw('a').png());
  const again = await sign(draw('a').resize(120).jpeg({ quality: 70 }));
  const other = await sign(draw('b').png());
  assert.ok(areNearlyIdentical(original, again));
  assert.ok(!areNearlyIdentical(original, other));
});
