import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { train } from '../../../../stages/train/stage.ts';
import { trainParameters } from '../../../../stages/train/parameters.ts';
import type { Normalization } from '../../../../src/data/image-shards.ts';
import { StageError } from '../../../../src/diagnostics/errors.ts';
import { readSafetensors } from '../../../../src/models/safetensors.ts';
import { randomWeights } from '../../../../src/models/weights.ts';
import { buildNetwork } from '../../../../src/models/zoo.ts';
import { keepDiverged } from '../../../../stages/train/diverged-training.ts';
import { openOnnxSession } from '../../../../src/runtime/onnx-session.ts';
import { readOnnx } from '../../../../src/onnx/reader.ts';
import { readMetricsFile } from '../../../../src/stage/metrics-file.ts';
import { writeColouredShards } from '../../../support/coloured-shards.ts';
import { runStage, temporaryFolder } from '../../../support/stage-context.ts';
import { tensorflowOrSkip } from '../../../support/tensorflow.ts';

const NORMALIZATION: Normalization = { mean: [0, 0, 0], std: [1, 1, 1] };
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

  assert.deepEqual((await readdir(first.outputs['weights']!)).sort(), [
    ...['last.safetensors', 'model.json', 'model.safetensors', 'weights.bin'],
  ]);
  const { tensors } = await readSafetensors(join(first.outputs['weights']!, 'last.safetensors'));
  assert.deepEqual(tensors.get('classifier.1.weight')?.shape, [2, 1280]);

  const second = await runStage(context, train, {
    parameters: { ...PARAMETERS, epochs: 1, checkpoint: 'last', kernelTimes: 'measure' },
    inputs: { ...inputs, weights: { kind: 'model/tfjs', path: first.outputs['weights']! } },
  });
  assert.deepEqual((await readMetricsFile(second.outputs['metrics']!)).notes, [
    'trained 1 epoch from the weights of an earlier training',
  ]);
  const [title = '', ...kernels] = second.notices.slice(-11);
  assert.match(title, /^TensorFlow's kernels, 10 of \d+, the costliest first:$/);
  for (const line of kernels) assert.match(line, /^ *[\d.]+ % +[\d.]+ s +\d+ x {2}\w+$/);
});

test('a training that diverged leaves weights, history and events, and is not repeated', async (context) => {
  if ((await tensorflowOrSkip(context)) === null) return;
  const images = await temporaryFolder(context);
  await writeColouredShards(images, { size: 32, imagesPerClass: { train: 8, validation: 4 } });
  const inputs = { images: { kind: 'image-shards', path: images } } as const;
  const checkpointPath = join(await temporaryFolder(context), 'checkpoints');
  // The rate rises to what nothing survives, over ten epochs.
  const parameters = {
    ...{ ...PARAMETERS, epochs: 12, warmupEpochs: 10, learningRate: 1e30, schedule: 'constant' },
  };
  const run = (): Promise<unknown> =>
    runStage(context, train, { ...{ parameters, inputs, checkpointPath } });
  await assert.rejects(run(), (error) => {
    assert.ok(error instanceof StageError);
    context.diagnostic(error.message);
    assert.equal(error.code, 'training/diverged');
    return true;
  });
  // In the first epoch there is nothing to keep.
  assert.equal(existsSync(join(checkpointPath, 'diverged.json')), false);

  await mkdir(checkpointPath, { recursive: true });
  const network = buildNetwork({
    ...{ architecture: 'mobilenet-v2', variant: 'paper', widthMultiplier: 0.1, padding: 'torch' },
    ...{ batchNorm: 'standard', dropout: 0, classCount: 2, imageSize: 32 },
  });
  const place = { checkpointPath, projectRoot: join(checkpointPath, '..') };
  const kept = { epoch: 7, step: null, weights: randomWeights(network, 1) };
  const details = { classes: ['red', 'blue'], normalization: NORMALIZATION };
  const cause = new StageError({
    ...{ code: 'training/diverged', message: 'the loss became NaN', hint: 'lower the rate' },
  });
  const told = await keepDiverged(place, cause, { kept, network, details });
  assert.equal(
    told.message,
    'the loss became NaN; the best weights, of epoch 7, are in checkpoints/diverged-weights, beside history.csv and events',
  );
  await assert.rejects(run(), {
    code: 'train/diverged-before',
    message: `a training with these parameters and images diverged before: ${told.message}`,
    hint: /^lower the rate, from the start or with these weights as input "weights"; to train the same anew, remove /,
  });
  // What was kept is what another training can begin with.
  const again = await runStage(context, train, {
    parameters: { ...PARAMETERS, epochs: 1 },
    inputs: {
      ...inputs,
      weights: { kind: 'folder', path: join(checkpointPath, 'diverged-weights') },
    },
  });
  assert.match(again.logLines.join(), /the weights of an earlier training/);
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

test('a time limit within the first epoch is told with what the schedule had no time for', async (context) => {
  if ((await tensorflowOrSkip(context)) === null) return;
  const images = await temporaryFolder(context);
  await writeColouredShards(images, { size: 32, imagesPerClass: { train: 8, validation: 4 } });
  const run = await runStage(context, train, {
    parameters: { ...PARAMETERS, schedule: 'cosine', timeLimitMinutes: 1e-9 },
    inputs: { images: { kind: 'image-shards', path: images } },
  });
  assert.match(
    run.warnings.join('\n'),
    /"timeLimitMinutes".* ended after 8 of 16 images of epoch 1;/,
  );
  assert.deepEqual((await readMetricsFile(run.outputs['metrics']!)).notes, [
    'trained 1 epoch from random weights (time limit 1e-9 min, after 8 of 16 images of epoch 1)',
  ]);
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
