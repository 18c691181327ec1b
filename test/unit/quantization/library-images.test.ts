import assert from 'node:assert/strict';
import { test } from 'node:test';
import { quantizeModel } from '../../../src/quantization/library.ts';
import { normalValues } from '../../support/quantize-one.ts';
import { TINY_SIZE, tinyConvnet } from '../../support/tiny-convnet.ts';

const LENGTH = 3 * TINY_SIZE ** 2;
const inputs = Array.from({ length: 10 }, (_, i) => normalValues(`input ${i}`, LENGTH));
/** What takes no time. */
const fast = {
  method: 'min-max',
  rounding: 'nearest',
  biasCorrection: 'none',
  workerCount: 1,
} as const;

test('inputs that calibrated are not compared on, nor are copies of them', async () => {
  const images = inputs.slice(0, 6);
  const given = { images, ...fast } as const;
  const { report } = await quantizeModel(tinyConvnet(), {
    ...given,
    compare: [...inputs.slice(4), Float32Array.from(images[0]!)],
  });
  assert.equal(report.fidelity?.imageCount, 4);
  const none = await quantizeModel(tinyConvnet(), { ...given, compare: images });
  assert.equal(none.report.fidelity, null);
  assert.equal(
    none.report.comparedOn,
    'every input to compare on was calibrated on, or is a copy of one that was',
  );
  await assert.rejects(quantizeModel(tinyConvnet(), { ...given, compare: [] }), {
    code: 'quantize/no-photographs',
  });
});
