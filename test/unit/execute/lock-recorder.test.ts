import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { LockRecorder } from '../../../src/execute/lock-recorder.ts';
import type { Digest } from '../../../src/stage/artifact.ts';
import { readPipelineLock } from '../../../src/store/lock-file.ts';
import type { StageResult } from '../../../src/store/stage-result.ts';
import { temporaryProject, tinyPipeline } from '../../support/in-memory-pipeline.ts';

const result: StageResult = {
  format: 1,
  key: 'a'.repeat(64) as Digest,
  kind: 'kind',
  version: 1,
  parameters: {},
  inputs: {},
  runtimes: {},
  outputs: {},
  metrics: {},
  warnings: [],
  origin: { runId: 'r', stageId: 's', host: 'h', startedAt: '', durationMs: 0 },
};

test('quick stages do not each write the file; the last of them are written a little later, or at the end', async (t) => {
  const root = await temporaryProject(t);
  const recorded = async (): Promise<string[]> =>
    Object.keys((await readPipelineLock(root, 'tiny'))?.stages ?? {});
  const recorder = new LockRecorder(tinyPipeline(root, []), null, false);
  await recorder.record('a', result);
  assert.deepEqual(await recorded(), ['a']);
  await recorder.record('b', result);
  await recorder.record('c', result);
  assert.deepEqual(await recorded(), ['a']);
  const until = Date.now() + 20_000;
  while ((await recorded()).length === 1 && Date.now() < until) await delay(50);
  assert.deepEqual(await recorded(), ['a', 'b', 'c']);
  await recorder.record('d', result);
  await recorder.write();
  assert.deepEqual(await recorded(), ['a', 'b', 'c', 'd']);
  assert.equal(await recorder.isCurrent(), true);
});
