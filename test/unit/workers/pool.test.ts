import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { InternalError, InterruptedError, OnnxError } from '../../../src/diagnostics/errors.ts';
import { createWorkerPool } from '../../../src/workers/pool.ts';
import { unwrapTask } from '../../../src/workers/task-result.ts';
import type { InferRequest, InferResponse } from '../../../src/workers/tasks/infer.ts';
import { temporaryFolder } from '../../support/stage-context.ts';
import { tinyClassifier } from '../../support/tiny-classifier.ts';

/** Large enough that a task is still running when the next line of the test is. */
const SIZE = 512;

async function prepare(t: TestContext) {
  const modelPath = join(await temporaryFolder(t), 'model.onnx');
  const weights = [
    [1, 0],
    [0, 1],
    [0, 0],
  ];
  await writeFile(modelPath, tinyClassifier({ size: SIZE, weights, bias: [0, 0] }));
  const request = (red: number): InferRequest => ({
    modelPaths: [modelPath],
    pixelsNhwc: new Uint8Array(SIZE * SIZE * 3).map((_, i) => (i % 3 === 0 ? red : 0)),
    imageCount: 1,
    height: SIZE,
    width: SIZE,
    normalization: { mean: [0, 0, 0], std: [1, 1, 1] },
  });
  return { pool: createWorkerPool<InferRequest, InferResponse>('infer', 1), request };
}

test('tasks run in order and give their own answers', async (t) => {
  const { pool, request } = await prepare(t);
  const reds = [0, 51, 255];
  const responses = await Promise.all(reds.map((red) => pool.run(request(red))));
  await pool.close();
  const scores = responses.map((response) => unwrapTask(response)[0]?.[0] ?? NaN);
  for (const [i, red] of reds.entries()) assert.ok(Math.abs((scores[i] ?? NaN) - red / 255) < 1e-3);
});

test('an abort rejects every task at once, and closing waits for the running one', async (t) => {
  const { pool, request } = await prepare(t);
  const controller = new AbortController();
  await pool.run(request(0)); // the thread is up, so the next task starts at once
  const runs = [1, 2, 3].map((red) => pool.run(request(red), { signal: controller.signal }));
  controller.abort();
  for (const outcome of await Promise.allSettled(runs)) {
    assert.ok(outcome.status === 'rejected' && outcome.reason instanceof InterruptedError);
  }
  await pool.close(); // ending the thread inside onnxruntime would end this process
});

test('many tasks share one listener of their signal', async (t) => {
  const { pool, request } = await prepare(t);
  const { signal } = new AbortController();
  const runs = Array.from({ length: 20 }, () => pool.run(request(0), { signal }));
  assert.equal(getEventListeners(signal, 'abort').length, 1);
  await Promise.all(runs);
  assert.equal(getEventListeners(signal, 'abort').length, 0);
  await pool.close();
});

test('closing drops what waits', async (t) => {
  const { pool, request } = await prepare(t);
  const runs = [1, 2].map((red) => pool.run(request(red)));
  const outcomes = Promise.allSettled(runs);
  await pool.close();
  const [first, second] = await outcomes;
  assert.equal(first?.status, 'fulfilled');
  assert.ok(second?.status === 'rejected' && second.reason instanceof InternalError);
  await assert.rejects(pool.run(request(3)), InternalError);
});

test('an error of a task comes back as the class it was', async (t) => {
  const { pool, request } = await prepare(t);
  const response = await pool.run({ ...request(0), modelPaths: ['/no/such/model.onnx'] });
  await pool.close();
  assert.throws(() => unwrapTask(response), OnnxError);
});
