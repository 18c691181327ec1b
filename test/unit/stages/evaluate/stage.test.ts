import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { parse } from 'csv-parse/sync';
import { InterruptedError } from '../../../../src/diagnostics/errors.ts';
import { readMetricsFile, type MetricsFile } from '../../../../src/stage/metrics-file.ts';
import { evaluate } from '../../../../stages/evaluate/stage.ts';
import { LABELS, PREDICTED } from '../../../support/graded-predictions.ts';
import {
  writeShardFixture,
  type ShardFixtureImage,
} from '../../../support/image-shards-fixture.ts';
import { runStage, temporaryFolder } from '../../../support/stage-context.ts';
import { tinyClassifier, type TinyClassifierOptions } from '../../../support/tiny-classifier.ts';

const CLASSES = ['0', '1', '2', '3', '4'];

/**
 * The red of an image is its grade × 51, so x = grade / 5 after normalization. The score
 * 50 c x - 5 c² = -5 (c - grade)² + const is largest for c = grade.
 */
const GRADER: TinyClassifierOptions = {
  size: 1,
  weights: [
    [0, 50, 100, 150, 200],
    [0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0],
  ],
  bias: [0, -5, -20, -45, -80],
};

function image(id: number, label: number, shownGrade: number, copy = 0): ShardFixtureImage {
  return {
    entry: { id: `image-${id}`, label, copy },
    pixels: Uint8Array.of(51 * shownGrade, 0, 0),
  };
}

const GRADED = LABELS.map((label, i) => image(i, label, PREDICTED[i] ?? 0));

async function prepare(
  t: TestContext,
  model: TinyClassifierOptions,
  test_: readonly ShardFixtureImage[] = GRADED,
) {
  const folder = await temporaryFolder(t);
  const shards = join(folder, 'shards');
  await writeShardFixture(shards, {
    size: 1,
    classes: CLASSES,
    imagesPerShard: 16,
    splits: { test: test_, train: test_.slice(0, 3) },
  });
  const modelPath = join(folder, 'model.onnx');
  await writeFile(modelPath, tinyClassifier(model));
  return {
    folder,
    inputs: {
      model: { kind: 'model/onnx', path: modelPath },
      images: { kind: 'image-shards', path: shards },
    },
  } as const;
}

function valueOf(metrics: MetricsFile, name: string): number {
  const found = metrics.values.find((metric) => metric.name === name);
  assert.ok(typeof found?.value === 'number', `no metric ${name}`);
  return found.value;
}

test('figures of 103 images agree with scikit-learn, whatever the workers', async (t) => {
  const { inputs } = await prepare(t, GRADER);
  const one = await runStage(t, evaluate, { inputs, cpuCount: 1 });
  const metrics = await readMetricsFile(one.outputs['metrics'] ?? '');
  assert.equal(valueOf(metrics, 'top1Fraction'), 66 / 103); // accuracy_score 0.6407766990291263
  assert.ok(Math.abs(valueOf(metrics, 'quadraticWeightedKappa') - 0.6216157811872935) < 1e-12);
  assert.ok(Math.abs(valueOf(metrics, 'balancedAccuracyFraction') - 0.6167279309384572) < 1e-12);
  assert.equal(valueOf(metrics, 'imageCount'), 103);
  for (const name of ['top1Fraction', 'top2Fraction', 'quadraticWeightedKappa']) {
    const metric = metrics.values.find((value) => value.name === name);
    const [low, high] = metric?.interval ?? [NaN, NaN];
    assert.ok(low < Number(metric?.value) && Number(metric?.value) < high, name);
  }
  const imageProgress = one.progress.filter(({ unit }) => unit === 'images');
  assert.deepEqual(imageProgress.at(-1), { done: 103, total: 103, unit: 'images' });

  const two = await runStage(t, evaluate, { inputs, cpuCount: 2 });
  for (const name of ['metrics', 'predictions']) {
    const texts = await Promise.all(
      [one, two].map(({ outputs }) => readFile(outputs[name] ?? '', 'utf8')),
    );
    assert.equal(texts[0], texts[1], name);
  }
});

test('predictions have one row an image, with probabilities that sum to 1', async (t) => {
  const { inputs } = await prepare(t, GRADER);
  const run = await runStage(t, evaluate, { inputs });
  const rows = parse<Record<string, string>>(await readFile(run.outputs['predictions'] ?? ''), {
    columns: true,
  });
  assert.deepEqual(
    rows.map((row) => row['image']),
    LABELS.map((_, i) => `image-${i}`),
  );
  assert.deepEqual(
    rows.map((row) => Number(row['label'])),
    LABELS,
  );
  assert.deepEqual(
    rows.map((row) => Number(row['predicted'])),
    PREDICTED,
  );
  for (const row of rows) {
    const total = CLASSES.reduce((sum, name) => sum + Number(row[`probability_${name}`]), 0);
    assert.ok(Math.abs(total - 1) < 1e-5, String(total));
  }
  // Image 0 shows grade 1: scores 0, 5, 0, -15, -40; softmax of class 1 = 1 / (1 + 2 e^-5 + …).
  const expected = 1 / (1 + 2 * Math.exp(-5) + Math.exp(-20) + Math.exp(-45));
  assert.ok(Math.abs(Number(rows[0]?.['probability_1']) - expected) < 1e-6);
});

test('replicas of an image are left out', async (t) => {
  const images = [image(0, 1, 1), image(0, 1, 3, 1), image(1, 2, 2), image(1, 2, 0, 1)];
  const { inputs } = await prepare(t, GRADER, images);
  const run = await runStage(t, evaluate, { inputs });
  const metrics = await readMetricsFile(run.outputs['metrics'] ?? '');
  assert.equal(valueOf(metrics, 'imageCount'), 2);
  assert.equal(valueOf(metrics, 'top1Fraction'), 1);
});

test('agreement and SQNR compare with the reference, not with the labels', async (t) => {
  const { folder, inputs } = await prepare(t, GRADER, [image(0, 4, 1), image(1, 4, 2)]);
  const reference = join(folder, 'reference.onnx');
  // Class 4 gets 32 more: it wins for grade 2 (scores -20, 5, 20, 15, -0 + 32), not for 1.
  await writeFile(reference, tinyClassifier({ ...GRADER, bias: [0, -5, -20, -45, -48] }));
  const run = await runStage(t, evaluate, {
    inputs: { ...inputs, reference: { kind: 'model/onnx', path: reference } },
  });
  const metrics = await readMetricsFile(run.outputs['metrics'] ?? '');
  assert.equal(valueOf(metrics, 'top1Fraction'), 0);
  assert.equal(valueOf(metrics, 'agreementFraction'), 0.5);
  // Reference scores 0, 5, 0, -15, -8 and 0, 15, 20, 15, 32; the noise is 32² twice.
  const signal = 25 + 225 + 64 + 225 + 400 + 225 + 1024;
  const expected = 10 * Math.log10(signal / 2048);
  assert.ok(Math.abs(valueOf(metrics, 'logitsSqnrDb') - expected) < 1e-4);
});

test('a model compared with itself has no SQNR but a note', async (t) => {
  const { inputs } = await prepare(t, GRADER);
  const run = await runStage(t, evaluate, { inputs: { ...inputs, reference: inputs.model } });
  const metrics = await readMetricsFile(run.outputs['metrics'] ?? '');
  assert.equal(valueOf(metrics, 'agreementFraction'), 1);
  assert.equal(
    metrics.values.some(({ name }) => name === 'logitsSqnrDb'),
    false,
  );
  assert.match(
    metrics.notes.join('\n'),
    /there is no logitsSqnrDb: the scores equal the reference/,
  );
});

test('a fixed batch size is kept and its padding does not count', async (t) => {
  const { inputs } = await prepare(t, { ...GRADER, batch: 8 });
  const run = await runStage(t, evaluate, { inputs });
  const metrics = await readMetricsFile(run.outputs['metrics'] ?? '');
  assert.equal(valueOf(metrics, 'imageCount'), 103);
  assert.equal(valueOf(metrics, 'top1Fraction'), 66 / 103);
});

test('a softmax at the end is not applied twice', async (t) => {
  const { inputs } = await prepare(t, { ...GRADER, endsInSoftmax: true }, [image(0, 1, 1)]);
  const run = await runStage(t, evaluate, { inputs });
  const [row] = parse<Record<string, string>>(await readFile(run.outputs['predictions'] ?? ''), {
    columns: true,
  });
  const expected = 1 / (1 + 2 * Math.exp(-5) + Math.exp(-20) + Math.exp(-45));
  assert.ok(Math.abs(Number(row?.['probability_1']) - expected) < 1e-6);
});

test('an empty split names those that have images', async (t) => {
  const { inputs } = await prepare(t, GRADER);
  await assert.rejects(runStage(t, evaluate, { inputs, parameters: { split: 'validation' } }), {
    code: 'evaluate/empty-split',
    message: 'split "validation" has no images; splits with images: train (3), test (103)',
    hint: 'set the parameter "split" to test, or give the ingest stage images for "validation"',
  });
});

for (const [splits, hint] of [
  [['train', 'validation'], /^set the parameter "split" to validation, or give /],
  [['train'], /^give the ingest stage images for "test"; split: train would .* trained on/],
] as const) {
  test(`in place of an empty test split, training images are no advice: ${splits.join()}`, async (t) => {
    const { folder, inputs } = await prepare(t, GRADER);
    const path = join(folder, 'others');
    await writeShardFixture(path, {
      size: 1,
      classes: CLASSES,
      imagesPerShard: 16,
      splits: Object.fromEntries(splits.map((split) => [split, [image(0, 1, 1)]])),
    });
    const images = { kind: 'image-shards', path } as const;
    await assert.rejects(runStage(t, evaluate, { inputs: { ...inputs, images } }), { hint });
  });
}

test('another class count, another size and NaN for every image are refused', async (t) => {
  const few = await prepare(t, {
    size: 1,
    weights: [
      [1, 0],
      [0, 1],
      [0, 0],
    ],
    bias: [0, 0],
  });
  await assert.rejects(runStage(t, evaluate, { inputs: few.inputs }), {
    code: 'evaluate/class-count',
    message: /scores 2 classes, the dataset has 5/,
  });
  const large = await prepare(t, { ...GRADER, size: 4 });
  await assert.rejects(runStage(t, evaluate, { inputs: large.inputs }), {
    code: 'evaluate/input-size',
    message: /takes images of 4 x 4 pixels, the shards hold 1 x 1/,
  });
  const broken = await prepare(t, { ...GRADER, bias: [NaN, 0, 0, 0, 0] });
  await assert.rejects(runStage(t, evaluate, { inputs: broken.inputs }), {
    code: 'evaluate/non-finite-scores',
    message: /gives scores with NaN for all 103 images/,
  });
});

test('a stage that is told to stop does', async (t) => {
  const { inputs } = await prepare(t, GRADER);
  await assert.rejects(
    runStage(t, evaluate, { inputs, signal: AbortSignal.abort() }),
    InterruptedError,
  );
});
