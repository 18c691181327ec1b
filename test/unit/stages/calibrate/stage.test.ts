import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { writeOnnx } from '../../../../src/onnx/writer.ts';
import { normalizePixels, openShardReader } from '../../../../src/data/image-shards.ts';
import { readCalibrationTable } from '../../../../src/quantization/calibration-table.ts';
import { readMetricsFile } from '../../../../src/stage/metrics-file.ts';
import { calibrate } from '../../../../stages/calibrate/stage.ts';
import { allTensors } from '../../../support/quantize-one.ts';
import { runStage, temporaryFolder } from '../../../support/stage-context.ts';
import { TINY_SIZE, tinyConvnet, writeNoiseShards } from '../../../support/tiny-convnet.ts';
import { CALIBRATION_METHODS } from '../../../../src/quantization/choices.ts';

async function calibrated(
  t: TestContext,
  parameters: Record<string, unknown>,
  options: { cpuCount?: number; imageCount?: number; signal?: AbortSignal } = {},
) {
  const folder = await temporaryFolder(t);
  const model = join(folder, 'model.onnx');
  const images = join(folder, 'images');
  await writeOnnx(model, tinyConvnet());
  await writeNoiseShards(images, options.imageCount ?? 20);
  const stageRun = await runStage(t, calibrate, {
    parameters,
    inputs: {
      model: { kind: 'model/onnx', path: model },
      images: { kind: 'image-shards', path: images },
    },
    cpuCount: options.cpuCount ?? 1,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  return { ...stageRun, images };
}

test('one worker and two give the same bytes, for every method', async (t) => {
  for (const method of CALIBRATION_METHODS) {
    const parameters = { method, count: 18, percentile: 99, equalization: 'activations' };
    const one = await calibrated(t, parameters);
    const two = await calibrated(t, parameters, { cpuCount: 2 });
    assert.equal(
      await readFile(one.outputs['table']!, 'utf8'),
      await readFile(two.outputs['table']!, 'utf8'),
    );
    assert.deepEqual(await readdir(one.scratchPath), []);
    // Once for the equalization, once for the ranges; for auto a quarter of them again.
    const total = method === 'auto' ? 40 : 36;
    assert.deepEqual(one.progress.at(-1), { done: total, total, unit: 'images' });
  }
});

test('min-max ranges are those of the float network itself', async (t) => {
  const { outputs, images, warnings } = await calibrated(t, {
    method: 'min-max',
    equalization: 'none',
    count: 50,
  });
  assert.deepEqual(warnings, ['split train has 20 images, fewer than count 50: all are used']);
  const table = await readCalibrationTable(outputs['table']!);
  assert.deepEqual(Object.keys(table.tensors), ['input', 'r1', 'r2', 'p', 'f']);
  assert.equal(table.samples.length, 20);
  const reader = await openShardReader(images);
  const seen = { min: Infinity, max: -Infinity };
  for (let image = 0; image < 20; image += 1) {
    const pixels = new Uint8Array(TINY_SIZE ** 2 * 3);
    await reader.read('train', 2 * image, pixels); // copies of the images stand at odd places
    const input = new Float32Array(pixels.length);
    normalizePixels(pixels, 1, TINY_SIZE ** 2, reader.shards.normalization, input);
    const { r1 } = await allTensors(tinyConvnet(1), input);
    seen.min = Math.min(seen.min, ...r1!);
    seen.max = Math.max(seen.max, ...r1!);
  }
  await reader.close();
  // Fused operators add in another order.
  const { min, max } = table.tensors['r1']!;
  assert.ok(Math.abs(min - seen.min) < 1e-5 && Math.abs(max - seen.max) < 1e-5 * seen.max);
  const { values } = await readMetricsFile(outputs['report']!);
  assert.deepEqual(
    values.map(({ name, value }) => [name, value]),
    [
      ['calibrationImageCount', 20],
      ['calibrationMethod', 'min-max'],
    ],
  );
});

test('auto says what it chose and how the candidates did', async (t) => {
  const shared = { count: 16, equalization: 'none' };
  const { outputs } = await calibrated(t, shared);
  const table = await readCalibrationTable(outputs['table']!);
  const { selection } = table;
  assert.equal(table.method, 'auto');
  assert.equal(selection!.heldOutImageCount, 4);
  assert.equal(selection!.candidates.length, 4);
  assert.ok(selection!.candidates.every(({ sqnrDb }) => sqnrDb! > 15 && sqnrDb! < 70));
  const { values } = await readMetricsFile(outputs['report']!);
  assert.equal(values[1]!.value, `auto (${selection!.method})`);
  // The ranges are those the chosen method finds on all images by itself; the input keeps all of its own.
  const tensorsBy = async (method: string) => {
    const alone = await calibrated(t, { ...shared, method });
    return (await readCalibrationTable(alone.outputs['table']!)).tensors;
  };
  const [chosen, whole] = [await tensorsBy(selection!.method), await tensorsBy('min-max')];
  assert.deepEqual({ ...chosen, input: whole['input'] }, table.tensors);
});

test('every method calibrates on a single image', async (t) => {
  for (const method of CALIBRATION_METHODS) {
    const { outputs } = await calibrated(t, { count: 1, method });
    const { tensors } = await readCalibrationTable(outputs['table']!);
    for (const { min, max } of Object.values(tensors)) assert.ok(min <= max, method);
  }
});

test('the batch size changes nothing but rounding, the seed changes the images', async (t) => {
  const one = await calibrated(t, { count: 6 });
  const four = await calibrated(t, { count: 6, batchSize: 4 });
  const other = await calibrated(t, { count: 6, seed: 1 });
  const [a, b, c] = await Promise.all(
    [one, four, other].map(({ outputs }) => readCalibrationTable(outputs['table']!)),
  );
  assert.deepEqual(a!.samples, b!.samples);
  for (const [name, { max }] of Object.entries(a!.tensors)) {
    assert.ok(Math.abs(max - b!.tensors[name]!.max) < 0.02 * max);
  }
  assert.notDeepEqual(a!.samples, c!.samples);
});

test('an aborted run ends', async (t) => {
  await assert.rejects(calibrated(t, {}, { signal: AbortSignal.abort() }));
});

test('an empty split is refused with those that have images', async (t) => {
  await assert.rejects(calibrated(t, { split: 'test' }), {
    code: 'quantization/no-images',
    message: /split test has no images.*train \(40\)/,
  });
});

test('a percentile that the method does not ask for is told', async (t) => {
  const parameters = { count: 4, percentile: 99, equalization: 'none' };
  assert.deepEqual((await calibrated(t, { ...parameters, method: 'min-max' })).warnings, [
    '"percentile" has no effect: it is for method percentile or auto',
  ]);
  assert.deepEqual((await calibrated(t, { ...parameters, method: 'percentile' })).warnings, []);
  assert.deepEqual((await calibrated(t, { method: 'min-max', count: 4 })).warnings, []);
});
