import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FLOAT_NCHW, inputFormOf, toNetworkInput } from '../../../src/data/network-input.ts';

const images = {
  pixelsNhwc: Uint8Array.of(0, 51, 102, 255, 204, 153), // [1, 1, 2, 3]
  imageCount: 1,
  height: 1,
  width: 2,
  normalization: {
    mean: [0, 0, 0.5] as [number, number, number],
    std: [1, 0.5, 1] as [number, number, number],
  },
};

test('the form follows the declared type and the place of the channels', () => {
  assert.deepEqual(inputFormOf('float32', ['N', 3, 8, 8]), FLOAT_NCHW);
  assert.deepEqual(inputFormOf('float32', ['N', 8, 8, 3]), { type: 'float32', layout: 'nhwc' });
  assert.deepEqual(inputFormOf('uint8', ['N', 3, 8, 8]), { type: 'uint8', layout: 'nchw' });
  assert.deepEqual(inputFormOf('uint8', ['N', 8, 8, 3]), { type: 'uint8', layout: 'nhwc' });
  assert.deepEqual(inputFormOf('uint8', ['N', 3, 8, 3]), { type: 'uint8', layout: 'nchw' });
});

test('pixels stay pixels for uint8 and are normalized for float32', () => {
  const nhwc = toNetworkInput(images, { type: 'uint8', layout: 'nhwc' });
  assert.equal(nhwc.data, images.pixelsNhwc, 'no copy');
  assert.deepEqual(nhwc.dims, [1, 1, 2, 3]);
  const nchw = toNetworkInput(images, { type: 'uint8', layout: 'nchw' });
  assert.deepEqual([...nchw.data], [0, 255, 51, 204, 102, 153]);
  assert.deepEqual(nchw.dims, [1, 3, 1, 2]);
  const float = toNetworkInput(images, FLOAT_NCHW);
  // (pixel / 255 - mean) / std by hand
  const expected = [0, 1, 0.4, 1.6, -0.1, 0.1];
  for (const [i, value] of expected.entries()) {
    assert.ok(Math.abs(float.data[i]! - value) < 1e-6, `${i}: ${float.data[i]}`);
  }
  const channelsLast = toNetworkInput(images, { type: 'float32', layout: 'nhwc' });
  assert.deepEqual(channelsLast.dims, [1, 1, 2, 3]);
  // The same numbers, pixel by pixel.
  assert.deepEqual(
    [...channelsLast.data],
    [0, 2, 4, 1, 3, 5].map((i) => float.data[i]),
  );
});

test('bytes that are not that many images are a bug of the caller', () => {
  assert.throws(() => toNetworkInput({ ...images, imageCount: 2 }, FLOAT_NCHW), /6 bytes for 2/);
});
