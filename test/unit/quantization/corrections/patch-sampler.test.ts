import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeNode } from '../../../../src/onnx/build.ts';
import {
  patchGeometry,
  patchPlaces,
  quantizePatches,
  type Patches,
  type PatchGeometry,
} from '../../../../src/quantization/corrections/patch-sampler.ts';
import type { ActivationParameters } from '../../../../src/quantization/parameters.ts';

const UNIT = { scale: 1, zeroPoint: 10 };

function conv(attributes: Record<string, number | string | readonly number[]>) {
  return makeNode({ opType: 'Conv', name: 'conv', inputs: [], outputs: [], attributes });
}

function quantized(
  values: Float32Array,
  places: Int32Array,
  area: number,
  parameters: ActivationParameters,
): Patches {
  const count = places.length / area;
  const width = values.length / count;
  const patchCount = count + 3; // two images' before, one's after
  const patches = {
    codes: new Uint8Array(width * patchCount),
    means: new Float32Array(2 * width),
  };
  quantizePatches(values, places, parameters, patches, { first: 2, count, patchCount });
  // A row a patch, as weights lie.
  const codes = Uint8Array.from(
    { length: count * width },
    (_, at) => patches.codes[(at % width) * patchCount + 2 + Math.floor(at / width)]!,
  );
  return { codes, means: patches.means };
}

/** Two channels of 3 x 3: 0 to 8 and 100 to 108. */
const INPUT = Float32Array.from({ length: 18 }, (_, i) => (i < 9 ? i : 91 + i));

function sampled(geometry: PatchGeometry, spread: { count: number; offset: number }): Uint8Array {
  const places = patchPlaces([3, 3], geometry, spread);
  const gathered = [0, 9].flatMap((plane) =>
    Array.from(places, (place) => INPUT[plane + Math.max(place, 0)]!),
  );
  const [kernelHeight, kernelWidth] = geometry.kernel;
  return quantized(Float32Array.from(gathered), places, kernelHeight * kernelWidth, UNIT).codes;
}

test('a patch holds what a weight row meets, padding as the code of zero', () => {
  const geometry = patchGeometry(conv({ pads: [1, 1, 1, 1] }), [1, 2, 3, 3]);
  const patches = sampled(geometry, { count: 9, offset: 0.5 });
  const upperLeft = [10, 10, 10, 10, 10, 11, 10, 13, 14];
  assert.deepEqual(
    [...patches.subarray(0, 18)],
    [...upperLeft, 10, 10, 10, 10, 110, 111, 10, 113, 114],
  );
  const middle = [...INPUT].map((value) => value + 10);
  assert.deepEqual([...patches.subarray(4 * 18, 5 * 18)], middle);
});

test('strides, dilations and asymmetric pads place the patch', () => {
  // Stride 2, dilation 2, a kernel of 2 x 2 with one row of padding above: outputs at rows -1 and 1.
  const geometry = patchGeometry(
    conv({ strides: [2, 1], dilations: [2, 2], pads: [1, 0, 1, 0] }),
    [1, 2, 2, 2],
  );
  const patches = sampled(geometry, { count: 2, offset: 0 });
  assert.deepEqual([...patches.subarray(0, 4)], [10, 10, 13, 15]); // rows -1 and 1, columns 0 and 2
  assert.deepEqual([...patches.subarray(8, 12)], [13, 15, 10, 10]); // rows 1 and 3
});

test('automatic padding splits the odd pixel as ONNX says', () => {
  // 3 wide, kernel 2, stride 1: one pixel of padding in all; upper puts it at the end.
  const first = (mode: string): number[] => {
    const geometry = patchGeometry(conv({ auto_pad: mode }), [1, 2, 2, 2]);
    return [...sampled(geometry, { count: 9, offset: 0 }).subarray(0, 4)];
  };
  assert.deepEqual(first('SAME_UPPER'), [10, 11, 13, 14]);
  assert.deepEqual(first('SAME_LOWER'), [10, 10, 10, 10]);
});

test('a Gemm has one position, which repeats; codes saturate', () => {
  const node = makeNode({ opType: 'Gemm', name: 'gemm', inputs: [], outputs: [] });
  const geometry = patchGeometry(node, [4, 2]);
  const places = patchPlaces([1, 1], geometry, { count: 2, offset: 0.9 });
  assert.deepEqual([...places], [0, 0]);
  const values = Float32Array.of(1.25, 1.25, 1000, 1000); // [C, count]
  const parameters = { scale: 0.5, zeroPoint: 0 };
  const { codes, means } = quantized(values, places, 1, parameters);
  assert.deepEqual([...codes], [2, 255, 2, 255]);
  // 1.25 becomes 1, 1000 becomes 127.5.
  assert.deepEqual([...means], [1.25, 1000, -0.25, -872.5]);
});
