import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeOnnx } from '../../../../src/onnx/writer.ts';
import { readMetricsFile } from '../../../../src/stage/metrics-file.ts';
import { benchmark } from '../../../../stages/benchmark/stage.ts';
import { calibrate } from '../../../../stages/calibrate/stage.ts';
import { evaluate } from '../../../../stages/evaluate/stage.ts';
import { quantize } from '../../../../stages/quantize/stage.ts';
import { runStage, temporaryFolder } from '../../../support/stage-context.ts';
import { tinyConvnet, writeNoiseShards } from '../../../support/tiny-convnet.ts';

test('a model of pixels is evaluated and timed like the float one it came from', async (t) => {
  const folder = await temporaryFolder(t);
  const float = { kind: 'model/onnx' as const, path: join(folder, 'model.onnx') };
  const images = { kind: 'image-shards' as const, path: join(folder, 'images') };
  await writeOnnx(float.path, tinyConvnet());
  await writeNoiseShards(images.path, 20);
  const table = (await runStage(t, calibrate, { inputs: { model: float, images } })).outputs;
  const { outputs } = await runStage(t, quantize, {
    inputs: {
      model: float,
      images,
      table: { kind: 'calibration-table', path: table['table']! },
    },
    parameters: { inputType: 'uint8' },
  });
  const pixels = { kind: 'model/onnx' as const, path: outputs['model']! };
  const evaluated = await runStage(t, evaluate, {
    inputs: { model: pixels, reference: float, images },
    parameters: { split: 'train' },
  });
  const { values } = await readMetricsFile(evaluated.outputs['metrics']!);
  const agreement = values.find(({ name }) => name === 'agreementFraction')?.value;
  // Pixels fed as normalized floats, or the other way round, would agree on a quarter.
  assert.ok(typeof agreement === 'number' && agreement >= 0.9, String(agreement));
  const timed = await runStage(t, benchmark, {
    inputs: { baseline: float, model: pixels, images },
    parameters: { blockSize: 10 },
  });
  const report = await readMetricsFile(timed.outputs['metrics'] ?? timed.outputs['report']!);
  assert.ok(report.values.some(({ name }) => name === 'speedup'));
});
