import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { StoreError } from '../../../src/diagnostics/errors.ts';
import { planPipeline } from '../../../src/plan/make-plan.ts';
import {
  chain,
  runTiny,
  temporaryProject,
  tinyOptions,
  tinyPipeline,
  type TinyStage,
} from '../../support/in-memory-pipeline.ts';

test('a failing stage keeps its folder and log; the others stop, or go on when asked', async (t) => {
  const root = await temporaryProject(t);
  const stages: TinyStage[] = [
    {
      name: 'bad',
      run: async (context) => {
        const { scratchPath } = context;
        context.log('about to fail');
        await writeFile(join(scratchPath, 'clue'), '');
        throw new TypeError('broken');
      },
    },
    { name: 'after-bad', inputs: { in: 'bad' } },
    { name: 'good', run: ({ outputs }) => writeFile(outputs['out'] ?? '', 'good') },
    {
      name: 'after-good',
      inputs: { in: 'good' },
      run: ({ outputs }) => writeFile(outputs['out'] ?? '', 'fine'),
    },
  ];
  const stopped = await runTiny(tinyPipeline(root, stages), { jobs: 1 });
  const failure = stopped.events.find((event) => event.type === 'stage-failed');
  assert.ok(failure?.type === 'stage-failed');
  assert.equal(failure.message, 'TypeError: broken');
  assert.deepEqual(failure.logTail, ['about to fail']);
  assert.match(await readFile(failure.logPath, 'utf8'), /about to fail\n(.|\n)*at /);
  assert.ok(existsSync(join(failure.scratchPath, 'scratch/clue')));
  assert.deepEqual(
    stopped.record.stages.map(({ stageId, outcome }) => `${stageId} ${outcome}`),
    ['bad failed', 'after-bad skipped', 'good skipped', 'after-good skipped'],
  );

  const going = await runTiny(tinyPipeline(root, stages), { keepGoing: true });
  assert.deepEqual(
    going.record.stages.map(({ stageId, outcome }) => `${stageId} ${outcome}`),
    ['bad failed', 'after-bad skipped', 'good run', 'after-good run'],
  );
  const last = going.events.at(-1);
  assert.ok(last?.type === 'run-finished');
  assert.deepEqual([last.ran, last.failed, last.skipped], [2, 1, 1]);
});

test('an output that is missing or of the wrong form fails the stage and is not stored', async (t) => {
  const root = await temporaryProject(t);
  const missing = await runTiny(
    tinyPipeline(root, [{ name: 'lazy', run: () => Promise.resolve() }]),
  );
  assert.equal(missing.record.stages[0]?.error?.code, 'stage/missing-output');
  const wrong = await runTiny(
    tinyPipeline(root, [
      {
        name: 'odd',
        run: async ({ outputs }) => mkdir(outputs['out'] ?? '').then(() => undefined),
      },
    ]),
  );
  assert.equal(wrong.record.stages[0]?.error?.code, 'stage/wrong-output-form');
  assert.ok(!existsSync(join(root, 'artifacts/results')));
});

test('an abort in mid-stage leaves no half result, and the next run recovers', async (t) => {
  const root = await temporaryProject(t);
  const abort = new AbortController();
  let calls = 0;
  const careless: TinyStage = {
    name: 'careless',
    // Ends quietly with half an output when it is aborted, as a careless stage may.
    run: async ({ outputs }) => {
      calls += 1;
      await writeFile(outputs['out'] ?? '', calls > 1 ? 'whole' : 'half');
      if (calls === 1) abort.abort();
    },
  };
  const pipeline = tinyPipeline(root, [careless]);
  const first = await runTiny(pipeline, {}, abort.signal);
  assert.equal(first.record.interrupted, true);
  assert.deepEqual(
    first.record.stages.map(({ outcome }) => outcome),
    ['interrupted'],
  );
  assert.ok(!existsSync(join(root, 'artifacts/results')));
  assert.deepEqual(await readdir(join(root, 'artifacts/attempts')), []);
  assert.deepEqual(await readdir(join(root, 'artifacts/locks')), []);
  const second = await runTiny(pipeline);
  assert.deepEqual(second.lines, ['run careless  never run']);
  assert.equal(await readFile(join(root, 'artifacts/outputs/tiny/careless/out'), 'utf8'), 'whole');
});

test('a file that changes while a stage reads it gives no result', async (t) => {
  const root = await temporaryProject(t);
  const data = join(root, 'data.txt');
  await writeFile(data, 'before');
  const { record } = await runTiny(
    tinyPipeline(root, [
      {
        name: 'reader',
        inputs: { data },
        run: async ({ outputs }) => {
          await writeFile(outputs['out'] ?? '', 'x');
          await writeFile(data, 'after');
        },
      },
    ]),
  );
  assert.equal(record.stages[0]?.error?.code, 'data/input-changed');
});

test('a stage that writes to what another made is told to work on a copy', async (t) => {
  const root = await temporaryProject(t);
  const { events } = await runTiny(
    tinyPipeline(root, [
      { name: 'first', run: ({ outputs }) => writeFile(outputs['out'] ?? '', 'x') },
      {
        name: 'writer',
        inputs: { in: 'first' },
        run: async ({ inputs, outputs }) => {
          const path = inputs['in']?.path ?? '';
          await writeFile(outputs['out'] ?? '', 'y');
          await rm(path);
          await writeFile(path, 'z');
        },
      },
    ]),
  );
  const failure = events.find((event) => event.type === 'stage-failed');
  assert.ok(failure?.type === 'stage-failed');
  assert.equal(failure.code, 'data/input-changed');
  assert.match(failure.hint ?? '', /seems to write to its input: let it work on a copy/);
});

test('a missing file of the user is found before anything runs', async (t) => {
  const root = await temporaryProject(t);
  const stages = chain('a');
  const pipeline = tinyPipeline(root, [
    ...stages,
    { name: 'late', inputs: { in: 'suffix', data: join(root, 'nowhere') } },
  ]);
  await assert.rejects(runTiny(pipeline), /input "data" of stage late: nowhere does not exist/);
  assert.ok(!existsSync(join(root, 'artifacts/outputs')));
});

test('a file of the user that cannot be read fails its stage alone, and planning tells it', async (t) => {
  const root = await temporaryProject(t);
  const stages: TinyStage[] = [
    // Reading it from its start is an input/output error for everybody, root included.
    { name: 'reader', inputs: { data: '/proc/self/mem' } },
    { name: 'after', inputs: { in: 'reader' } },
    { name: 'other', run: ({ outputs }) => writeFile(outputs['out'] ?? '', 'x') },
  ];
  const message =
    'input "data" of stage reader: /proc/self/mem cannot be read: the disk or its connection failed (EIO)';
  const { stages: planned } = await planPipeline(tinyPipeline(root, stages), tinyOptions);
  assert.deepEqual(
    planned.map(({ stageId, action, reason }) => `${action} ${stageId}  ${reason}`),
    [`fails reader  ${message}`, 'waits after  waits for reader', 'run other  never run'],
  );
  const { record } = await runTiny(tinyPipeline(root, stages), { keepGoing: true });
  assert.deepEqual(
    record.stages.map(({ stageId, outcome }) => `${stageId} ${outcome}`),
    ['reader failed', 'after skipped', 'other run'],
  );
  assert.equal(record.stages[0]?.error?.code, 'data/unreadable-input');
  assert.equal(record.stages[0].error.message, message);
});

test('a folder that cannot be written is found before stages run', async (t) => {
  const root = await temporaryProject(t);
  await writeFile(join(root, 'experiments'), 'a file in the way');
  let ran = false;
  const pipeline = tinyPipeline(root, [
    { name: 'a', run: () => Promise.resolve().then(() => void (ran = true)) },
  ]);
  await assert.rejects(runTiny(pipeline), (error) => {
    assert.ok(error instanceof StoreError);
    assert.match(error.message, /experiments.tiny cannot be written/);
    return true;
  });
  assert.equal(ran, false);
});

test('a full disk in a stage is told as such', async (t) => {
  const root = await temporaryProject(t);
  const full = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
  const { events } = await runTiny(
    tinyPipeline(root, [{ name: 'big', run: () => Promise.reject(full) }]),
  );
  const failure = events.find((event) => event.type === 'stage-failed');
  assert.ok(failure?.type === 'stage-failed');
  assert.equal(failure.code, 'store/disk-full');
  assert.match(failure.message, /^the disk is full: .* free\)$/);
});
