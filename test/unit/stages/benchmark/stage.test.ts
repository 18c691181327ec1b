import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { parse } from 'csv-parse/sync';
import { InterruptedError } from '../../../../src/diagnostics/errors.ts';
import { readMetricsFile } from '../../../../src/stage/metrics-file.ts';
import { benchmark } from '../../../../stages/benchmark/stage.ts';
import { writeShardFixture } from '../../../support/image-shards-fixture.ts';
import { runStage, temporaryFolder } from '../../../support/stage-context.ts';
import { tinyClassifier } from '../../../support/tiny-classifier.ts';

const TINY = {
  weights: [
    [1, 0],
    [0, 1],
    [0, 0],
  ],
  bias: [0, 0],
};
/** Thousands of classes make the same input far slower. */
const LARGE = {
  weights: [0, 1, 2].map((row) => new Array<number>(50_000).fill(row)),
  bias: new Array<number>(50_000).fill(0),
};

async function prepare(t: TestContext, modelSize = 4, baselineBatch: number | string = 'N') {
  const folder = await temporaryFolder(t);
  const baseline = join(folder, 'baseline.onnx');
  const model = join(folder, 'model.onnx');
  await writeFile(baseline, tinyClassifier({ ...LARGE, size: 4, batch: baselineBatch }));
  await writeFile(model, tinyClassifier({ ...TINY, size: modelSize }));
  return {
    folder,
    inputs: {
      baseline: { kind: 'model/onnx', path: baseline },
      model: { kind: 'model/onnx', path: model },
    },
  } as const;
}

test('both models are timed in every worker, block by block', async (t) => {
  const { inputs } = await prepare(t);
  const run = await runStage(t, benchmark, {
    inputs,
    cpuCount: 2,
    parameters: { threads: 2, blockSize: 10 },
  });
  const samples = parse<Record<'subject' | 'worker' | 'block' | 'run' | 'ms', string>>(
    await readFile(run.outputs['samples'] ?? ''),
    { columns: true },
  );
  assert.equal(samples.length, 400);
  for (const subject of ['baseline', 'model']) {
    for (const worker of ['0', '1']) {
      const own = samples.filter((row) => row.subject === subject && row.worker === worker);
      assert.deepEqual(
        own.map(({ run }) => Number(run)),
        own.map((_, i) => i),
      );
      assert.equal(own.length, 100);
      assert.equal(new Set(own.map(({ block }) => block)).size, 10);
    }
  }
  assert.ok(samples.every(({ ms }) => Number(ms) > 0));

  const metrics = await readMetricsFile(run.outputs['metrics'] ?? '');
  const valueOf = (subject: string, name: string): number =>
    Number(metrics.values.find((m) => m.subject === subject && m.name === name)?.value);
  // The figures of the metrics are those of the samples.
  for (const subject of ['baseline', 'model']) {
    const ms = samples.filter((row) => row.subject === subject).map((row) => Number(row.ms));
    const mean = ms.reduce((sum, value) => sum + value, 0) / ms.length;
    assert.ok(Math.abs(valueOf(subject, 'latencyMeanMs') - mean) < 1e-9);
    const throughput = valueOf(subject, 'throughputImagesPerSecond');
    assert.ok(Math.abs(throughput - 2000 / mean) < 1e-6);
    assert.ok(valueOf(subject, 'latencyP90Ms') >= valueOf(subject, 'latencyMedianMs'));
    assert.equal(valueOf(subject, 'threadCount'), 2);
  }
  const medians = ['baseline', 'model'].map((subject) => valueOf(subject, 'latencyMedianMs'));
  const speedup = valueOf('model', 'speedup');
  assert.ok(Math.abs(speedup - (medians[0] ?? 0) / (medians[1] ?? 0)) < 1e-9);
  assert.ok(speedup > 2, `${speedup} on a model thousands of times larger`);
  const sizes = await Promise.all(Object.values(inputs).map(({ path }) => stat(path)));
  assert.equal(valueOf('baseline', 'sizeBytes'), sizes[0]?.size);
  assert.equal(valueOf('model', 'sizeRatio'), (sizes[0]?.size ?? 0) / (sizes[1]?.size ?? 1));
});

test('one block of all runs is warned of: nothing is interleaved', async (t) => {
  const { inputs } = await prepare(t);
  const run = await runStage(t, benchmark, {
    inputs,
    cpuCount: 2,
    parameters: { threads: 2, blockSize: 100 },
  });
  const { values, notes } = await readMetricsFile(run.outputs['metrics'] ?? '');
  assert.match(run.warnings[0] ?? '', /^blockSize 100 takes all 100 .* nothing is interleaved/);
  assert.match(notes.join('\n'), /nothing is interleaved[^]*no interval: 1 block/);
  assert.ok(values.every(({ interval }) => interval === undefined));

  const interleaved = await runStage(t, benchmark, { inputs, parameters: { blockSize: 99 } });
  assert.doesNotMatch(interleaved.warnings.join('\n'), /interleaved/);
});

test('photographs are timed when they are given', async (t) => {
  const { folder, inputs } = await prepare(t);
  const shards = join(folder, 'shards');
  const pixels = new Uint8Array(4 * 4 * 3);
  await writeShardFixture(shards, {
    size: 4,
    classes: ['a', 'b'],
    splits: { train: [{ entry: { id: 'x', label: 0, copy: 0 }, pixels }] },
  });
  const images = { kind: 'image-shards', path: shards } as const;
  const run = await runStage(t, benchmark, { inputs: { ...inputs, images } });
  const { details } = await readMetricsFile(run.outputs['metrics'] ?? '');
  assert.match(JSON.stringify(details['protocol']), /"inputs":"photographs"/);
});

test('more threads than cores are refused', async (t) => {
  const { inputs } = await prepare(t);
  const parameters = { threads: 2, intraOpThreads: 2 };
  await assert.rejects(runStage(t, benchmark, { inputs, parameters, cpuCount: 2 }), {
    code: 'benchmark/too-many-threads',
    message: /threads 2 x intraOpThreads 2 = 4 threads, but 2 core/,
  });
});

test('models of different sizes or a fixed batch are refused', async (t) => {
  const different = await prepare(t, 8);
  await assert.rejects(runStage(t, benchmark, { inputs: different.inputs }), {
    code: 'benchmark/input-size',
  });
  const batched = await prepare(t, 4, 8);
  await assert.rejects(runStage(t, benchmark, { inputs: batched.inputs }), {
    code: 'benchmark/batch-size',
  });
});

test('a model that cannot be loaded keeps its error across the thread', async (t) => {
  const { inputs } = await prepare(t);
  const bytes = await readFile(inputs.model.path);
  // An operator nobody has: the file is sound, but no session can be made of it.
  const broken = Buffer.from(bytes.toString('latin1').replace('Flatten', 'Flutter'), 'latin1');
  await writeFile(inputs.model.path, broken);
  await assert.rejects(
    runStage(t, benchmark, { inputs, cpuCount: 2, parameters: { threads: 2 } }),
    { name: 'OnnxError', code: 'onnx/unsupported-operator' },
  );
});

test('a stage that is told to stop does', async (t) => {
  const { inputs } = await prepare(t);
  await assert.rejects(
    runStage(t, benchmark, {
      inputs,
      parameters: { timedRuns: 1_000_000, blockSize: 1000 },
      signal: AbortSignal.timeout(300),
    }),
    InterruptedError,
  );
});

test('fewer than 10 warm-ups or 100 runs are no benchmark', () => {
  assert.equal(benchmark.parameters.safeParse({ warmupRuns: 9 }).success, false);
  assert.equal(benchmark.parameters.safeParse({ timedRuns: 99 }).success, false);
});
