import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { test } from 'node:test';
import type { RunEvent } from '../../../src/report/run-event.ts';
import { runInProcess } from '../../support/in-process-cli.ts';
import { createRig } from '../../support/rig.ts';
import { writeTinyPipeline } from '../../support/tiny-pipeline.ts';

type RunFinished = Extract<RunEvent, { type: 'run-finished' }>;

test('run --json: a run that is refused ends with run-finished and everything that is wrong', async (context) => {
  const rig = await createRig(context);
  await writeTinyPipeline(rig);
  const refused = async (...parts: string[]): Promise<NonNullable<RunFinished['error']>> => {
    const { exitCode, stdout, stderr } = await runInProcess(rig.root, 'run', ...parts, '--json');
    assert.equal(exitCode, 2, stderr);
    const lines = stdout.trimEnd().split('\n');
    assert.equal(lines.length, 1, stdout);
    const { error, ...rest } = JSON.parse(lines[0] ?? '') as RunFinished;
    assert.deepEqual(rest, {
      ...{ type: 'run-finished', durationMs: 0 },
      ...{ ran: 0, restored: 0, upToDate: 0, failed: 0, skipped: 0 },
    });
    assert.ok(error !== undefined);
    assert.ok(stderr.includes(error.problems?.[0]?.message ?? error.message), stderr);
    return error;
  };

  const noFile = await refused('nope.yaml');
  assert.deepEqual(
    noFile.problems?.map(({ code, place }) => [code, place]),
    [['pipeline/unreadable', { file: rig.path('nope.yaml') }]],
  );
  const wrongSet = await refused('tiny.yaml', '--set', 'vars.factor=abc');
  assert.equal(wrongSet.code, 'pipeline/invalid');
  assert.equal(wrongSet.problems?.[0]?.code, 'pipeline/invalid-value');
  const unknown = await refused('tiny.yaml', 'cuont');
  assert.deepEqual(
    [unknown.code, unknown.hint],
    [
      'usage/unknown-stage',
      'name a stage, or one cell of a matrix by its full id as `drq plan` shows it',
    ],
  );
  const noRoot = await refused('tiny.yaml', '--root', 'nowhere');
  assert.equal(noRoot.code, 'usage/no-root');
  await rm(rig.path('words.txt'));
  const { problems } = await refused('tiny.yaml');
  assert.deepEqual(
    problems?.map(({ code, place, hint }) => [code, place, hint?.slice(0, 5)]),
    [
      ['pipeline/missing-path', { file: rig.path('tiny.yaml'), line: 6, column: 29 }, 'paths'],
      ['pipeline/missing-path', { file: rig.path('tiny.yaml'), line: 10, column: 29 }, 'paths'],
    ],
  );
});

test('a dry run has no events: what refuses it is on stderr alone', async (context) => {
  const rig = await createRig(context);
  const dry = await runInProcess(rig.root, 'run', 'nope.yaml', '--dry-run', '--json');
  assert.deepEqual([dry.exitCode, dry.stdout], [2, '']);
});
