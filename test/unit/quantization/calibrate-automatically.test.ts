import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drawHeldOut } from '../../../src/quantization/calibrate-automatically.ts';
import { calibrate } from '../../../src/quantization/calibrate.ts';
import { prepareModel } from '../../../src/quantization/prepare-model.ts';
import { withRangeTrials } from '../../../src/quantization/try-ranges.ts';
import { allTensors } from '../../support/quantize-one.ts';
import { normalizePixels, openShardReader } from '../../../src/data/image-shards.ts';
import { temporaryFolder } from '../../support/stage-context.ts';
import { TINY_SIZE, tinyConvnet, writeNoiseShards } from '../../support/tiny-convnet.ts';

test('a quarter of the images is held out, at most 12, all of fewer than four', () => {
  const indices = Array.from({ length: 400 }, (_, i) => 2 * i);
  assert.equal(drawHeldOut(indices, 0).length, 12);
  const sixteen = indices.slice(0, 16);
  const drawn = drawHeldOut(sixteen, 0);
  assert.equal(drawn.length, 4);
  assert.deepEqual(
    drawn,
    [...drawn].sort((a, b) => a - b),
  );
  assert.ok(drawn.every((index) => sixteen.includes(index)));
  assert.deepEqual(drawHeldOut(sixteen, 0), drawn);
  assert.notDeepEqual(drawHeldOut(sixteen, 1), drawn);
  assert.deepEqual(drawHeldOut([4, 9, 11], 0), [4, 9, 11]);
  assert.equal(drawHeldOut([4, 9, 11, 12], 0).length, 1);
});

test('a trial rounds activations and nothing else', async (t) => {
  const folder = await temporaryFolder(t);
  await writeNoiseShards(folder, 3);
  const model = prepareModel(tinyConvnet());
  const shared = { model, workerCount: 1, scratchPath: folder, batchSize: 1 };
  const images = { folder, split: 'train' as const, indices: [0] };
  const fine = await calibrate({ ...shared, images, method: 'min-max', percentile: 100 });
  const coarse = Object.fromEntries(
    Object.entries(fine).map(([name, { min, max }]) => [name, { min: 64 * min, max: 64 * max }]),
  );
  const [fineRows, coarseRows] = await withRangeTrials(shared, (tryTables) =>
    tryTables([fine, coarse], images),
  );

  const reader = await openShardReader(folder);
  const pixels = new Uint8Array(TINY_SIZE ** 2 * 3);
  await reader.read('train', 0, pixels);
  const input = new Float32Array(pixels.length);
  normalizePixels(pixels, 1, TINY_SIZE ** 2, reader.shards.normalization, input);
  await reader.close();
  const float = await allTensors(tinyConvnet(1), input);
  const output = model.graph!.output[0]!.name;
  const errorOf = (row: Float32Array): number =>
    row.reduce((sum, value, i) => sum + (value - float[output]![i]!) ** 2, 0);
  const signal = float[output]!.reduce((sum, value) => sum + value * value, 0);
  assert.ok(errorOf(fineRows![0]!) > 0);
  // 8 bits keep some 40 dB of a shallow network; 2 bits do not.
  assert.ok(errorOf(fineRows![0]!) < 1e-3 * signal, String(errorOf(fineRows![0]!) / signal));
  assert.ok(errorOf(coarseRows![0]!) > 20 * errorOf(fineRows![0]!));
});

test('a value that is not finite is told with its tensor and image', async (t) => {
  const folder = await temporaryFolder(t);
  await writeNoiseShards(folder, 3);
  const model = prepareModel(tinyConvnet());
  const bias = model.graph!.initializer.find(({ dims }) => dims.length === 1)!;
  const values = new Float32Array(Number(bias.dims[0])).fill(Infinity);
  bias.rawData = new Uint8Array(values.buffer);
  bias.floatData = [];
  const images = { folder, split: 'train' as const, indices: [2] };
  const options = { model, images, workerCount: 1, scratchPath: folder, batchSize: 1 };
  await assert.rejects(calibrate({ ...options, method: 'min-max', percentile: 100 }), {
    code: 'quantization/not-finite',
    message: /tensor "r1" .*, on image-1$/,
  });
});
