import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { train } from '../../../../stages/train/stage.ts';
import { trainParameters } from '../../../../stages/train/parameters.ts';
import { openOnnxSession } from '../../../../src/runtime/onnx-session.ts';
import { readOnnx } from '../../../../src/onnx/reader.ts';
import { readMetricsFile } from '../../../../src/stage/metrics-file.ts';
import { writeColouredShards } from '../../../support/coloured-shards.ts';
import { runStage, temporaryFolder } from '../../../support/stage-context.ts';
import { tensorflowOrSkip } from '../../../support/tensorflow.ts';

const PARAMETERS = {
  architecture: 'mobilenet-v2',
  widthMultiplier: 0.1,
  epochs: 2,
  batchSize: 8,
  learningRate: 0.02,
};

test('a network is trained, exported and trained further from its weights', async (context) => {
  if ((await tensorflowOrSkip(context)) === null) return;
  const images = await temporaryFolder(context);
  await writeColouredShards(images, { size: 32, imagesPerClass: { train: 8, validation: 4 } });
  const inputs = { images: { kind: 'image-shards', path: images } } as const;
  const first = await runStage(context, train, { parameters: PARAMETERS, inputs });

  const model = await readOnnx(first.outputs['model']!); // declared outputs have paths
  const metadata = new Map(model.metadataProps.map(({ key, value }) => [key, value]));
  assert.equal(metadata.get('drq.classes'), '["red","blue"]');
  assert.equal(metadata.get('drq.architecture'), 'mobilenet-v2');
  const operators = [...new Set(model.graph?.node.map(({ opType }) => opType))].sort();
  assert.deepEqual(operators, ['Add', 'Clip', 'Conv', 'Gemm', 'GlobalAveragePool', 'Reshape']);
  // N is dynamic.
  const session = await openOnnxSession(first.outputs['model']!, { threadCount: 1 });
  const input = { data: new Float32Array(3 * 3 * 32 * 32), dims: [3, 3, 32, 32] };
  assert.deepEqual((await session.run({ input }))['logits']?.dims, [3, 2]);
  await session.release();

  const metrics = await readMetricsFile(first.outputs['metrics']!);
  const valueOf = (name: string): unknown =>
    metrics.values.find((value) => value.name === name)?.value;
  assert.equal(valueOf('epochs'), 2);
  assert.ok(Number(valueOf('exportErrorFraction')) <= 1e-4);
  assert.deepEqual(metrics.notes, ['trained 2 epochs from random weights']);
  const history = (await readFile(first.outputs['history']!, 'utf8')).trim().split('\n');
  assert.equal(history.length, 3);
  assert.match(history[0] ?? '', /^epoch,learningRate,trainLoss,trainTop1Fraction,validationLoss,/);
  assert.match(history[0] ?? '', /,imagesPerSecond,dataWaitFraction,durationSeconds$/);
  assert.match(String((await readdir(first.outputs['events']!))[0]), /tfevents/);
  assert.match(
    first.progress.at(-1)?.label ?? '',
    /^epoch 2\/2, loss \d\.\d{3}, validation \d+\.\d %$/,
  );
  assert.equal(first.progress.at(-1)?.unit, 'images');

  const second = await runStage(context, train, {
    parameters: { ...PARAMETERS, epochs: 1, checkpoint: 'last' },
    inputs: { ...inputs, weights: { kind: 'model/tfjs', path: first.outputs['weights']! } },
  });
  assert.deepEqual((await readMetricsFile(second.outputs['metrics']!)).notes, [
    'trained 1 epoch from the weights of an earlier training',
  ]);
});

test('without validation images the last epoch is kept, and a bad weights file is refused', async (context) => {
  if ((await tensorflowOrSkip(context)) === null) return;
  const images = await temporaryFolder(context);
  await writeColouredShards(images, { size: 32, imagesPerClass: { train: 4 } });
  const inputs = { images: { kind: 'image-shards', path: images } } as const;
  const run = await runStage(context, train, { parameters: { ...PARAMETERS, epochs: 1 }, inputs });
  assert.match(run.warnings[0] ?? '', /no validation images to choose a checkpoint by/);
  const path = join(images, 'weights.safetensors');
  await writeFile(path, 'no weights at all');
  await assert.rejects(
    runStage(context, train, {
      parameters: PARAMETERS,
      inputs: { ...inputs, weights: { kind: 'file', path } },
    }),
    { code: 'models/malformed-weights' },
  );
});

test("the defaults are the paper's recipe, and unknown parameters are refused", () => {
  const defaults = trainParameters.parse({ architecture: 'alexnet' });
  assert.equal(defaults.learningRate, 1e-4);
  assert.equal(defaults.momentum, 0.9);
  assert.equal(defaults.weightDecay, 1e-4);
  assert.deepEqual(
    [defaults.schedule, defaults.milestones, defaults.gamma],
    ['steps', [100, 150], 0.1],
  );
  assert.equal(defaults.batchSize, 64);
  assert.throws(() => trainParameters.parse({ architecture: 'alexnet', epoch: 3 }));
});
