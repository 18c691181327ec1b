import assert from 'node:assert/strict';
import { test } from 'node:test';
import { calibrateModel, quantizeModel } from '../../../src/quantization/library.ts';
import { normalValues } from '../../support/quantize-one.ts';
import { TINY_SIZE, tinyConvnet } from '../../support/tiny-convnet.ts';

const LENGTH = 3 * TINY_SIZE ** 2;
const inputs = Array.from({ length: 10 }, (_, i) => normalValues(`input ${i}`, LENGTH));
const shared = { workerCount: 1 };

test('ranges cover what an array of inputs holds, and can be given to the quantizer', async () => {
  const ranges = await calibrateModel(tinyConvnet(), {
    images: inputs,
    method: 'min-max',
    ...shared,
  });
  const values = inputs.flatMap((input) => [...input]);
  assert.equal(ranges['input']!.min, Math.min(...values));
  assert.equal(ranges['input']!.max, Math.max(...values));
  const phases = new Set<string>();
  const result = await quantizeModel(tinyConvnet(), {
    images: inputs.values(),
    ranges,
    exclude: ['depthwise'],
    onProgress: ({ phase }) => phases.add(phase),
    ...shared,
  });
  assert.deepEqual(result.ranges, ranges);
  assert.equal(result.quantizedLayerCount, 2);
  assert.ok(result.floatNodes.some(({ node }) => node === 'depthwise'));
  assert.deepEqual([...phases], ['read', 'correct']);
});

test('inputs that do not fit are refused by number', async () => {
  const refused = (images: Float32Array[], expected: object): Promise<void> =>
    assert.rejects(calibrateModel(tinyConvnet(), { images, ...shared }), expected);
  await refused([...inputs.slice(0, 1), new Float32Array(3)], {
    code: 'data/tensor-length',
    message: `input 1 has 3 values; expected ${LENGTH} finite float32 values, [3, 16, 16]`,
  });
  await refused([new Float32Array(LENGTH).fill(NaN)], {
    message: /input 0 has values that are not finite/,
  });
  await refused([], { code: 'quantize/no-photographs' });
});
