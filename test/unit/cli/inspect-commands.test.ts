import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { test } from 'node:test';
import { parse } from 'csv-parse/sync';
import { runInProcess } from '../../support/in-process-cli.ts';
import { createRig } from '../../support/rig.ts';
import { writeTinyPipeline } from '../../support/tiny-pipeline.ts';

test('plan, why, status, table and graph of a pipeline that was run', async (context) => {
  const rig = await createRig(context);
  await writeTinyPipeline(rig);
  const drq = (...argv: string[]) => runInProcess(rig.root, ...argv);
  const json = async (...argv: string[]): Promise<unknown> => {
    const { exitCode, stdout, stderr } = await drq(...argv);
    assert.equal(exitCode, 0, stderr);
    return JSON.parse(stdout);
  };
  assert.equal((await drq('run', 'tiny.yaml')).exitCode, 0);

  await context.test('plan', async () => {
    const plan = (await json('plan', 'tiny.yaml', '--json', '--set', 'vars.factor=3')) as {
      stages: { stageId: string; action: string; reason: string }[];
    };
    assert.deepEqual(
      plan.stages.map(({ stageId, action, reason }) => [stageId, action, reason]),
      [
        ['count', 'run', 'parameters.factor 2 → 3'],
        ['other', 'up-to-date', ''],
        ['join', 'waits', 'waits for count'],
      ],
    );
    const chosen = await drq('plan', 'tiny.yaml', 'other', '--force');
    assert.equal(chosen.stdout, 'run  other  forced\n\n1 stage: 1 run\n');
  });

  await context.test(
    'why: all reasons, the inputs and the document the key is made of',
    async () => {
      const changed = await drq('why', 'tiny.yaml', 'count', '--set', 'vars.factor=3');
      assert.match(changed.stdout, /^count: run\n {2}because parameters\.factor 2 → 3\n/);
      assert.match(changed.stdout, /^ {2}text: words\.txt {2}[0-9a-f]{12}$/m);
      assert.match(changed.stdout, /^key [0-9a-f]{64}\nwas [0-9a-f]{64}$/m);
      assert.match(changed.stdout, /"factor": 3/);
      const waiting = await drq('why', 'tiny.yaml', 'join', '--set', 'vars.factor=3');
      assert.match(waiting.stdout, /^join: waits for count\n/);
      assert.match(waiting.stdout, /^ {2}b: other\/metrics \(metrics\) {2}/m);
      const same = (await json('why', 'tiny.yaml', 'join', '--json')) as {
        action: string;
        key: string;
        locked: { key: string };
      };
      assert.equal(same.action, 'up-to-date');
      assert.equal(same.key, same.locked.key);
    },
  );

  await context.test('status: of the pipeline and of the project', async () => {
    const one = (await json('status', 'tiny.yaml', '--json')) as {
      stages: { stageId: string; state: string; startedAt: string; outputs: object }[];
    };
    assert.deepEqual(
      one.stages.map(({ stageId, state, outputs }) => [stageId, state, Object.keys(outputs)]),
      [
        ['count', 'up-to-date', ['metrics']],
        ['other', 'up-to-date', ['metrics']],
        ['join', 'up-to-date', ['metrics']],
      ],
    );
    assert.ok(one.stages.every(({ startedAt }) => !Number.isNaN(Date.parse(startedAt))));
    assert.match(
      (await drq('status', 'tiny.yaml')).stdout,
      /^ {2}metrics {2}metrics {2}[0-9a-f]{12} {2}\d+ bytes {2}artifacts\/outputs\/tiny\/join\/metrics\.json$/m,
    );
    await rm(rig.path('artifacts/outputs/tiny/other'), { recursive: true });
    assert.match(
      (await drq('status', 'tiny.yaml')).stdout,
      /^other: .*\n {2}metrics {2}metrics {2}\S+ {2}\d+ bytes {2}not on this machine$/m,
    );
    assert.equal(
      (await drq('status')).stdout,
      'tiny: 3 stages recorded in experiments/tiny/lock.yaml\n',
    );
  });

  await context.test('table: every format, and a name that is wrong', async () => {
    const csv = (await drq('table', 'tiny.yaml', '--format', 'csv')).stdout;
    assert.equal(csv, await rig.read('experiments/tiny/comparison.csv'));
    assert.equal(
      (await drq('table', 'tiny.yaml', '--format', 'markdown')).stdout,
      await rig.read('experiments/tiny/comparison.md'),
    );
    const [table] = (await json('table', 'tiny.yaml', '--format', 'json')) as {
      rows: Record<string, string | number | null>[];
    }[];
    const rows = parse<Record<string, string>>(csv, { columns: true });
    // The same figures, whichever way they are taken out.
    assert.deepEqual(
      table?.rows.map((row) =>
        Object.fromEntries(Object.entries(row).map(([name, cell]) => [name, String(cell ?? '')])),
      ),
      rows,
    );
    const wrong = await drq('table', 'tiny.yaml', '--name', 'comparson');
    assert.equal(wrong.exitCode, 2);
    assert.match(wrong.stderr, /no table "comparson"\nhint: did you mean "comparison"\?\n$/);
  });

  await context.test('graph and schema', async () => {
    assert.match((await drq('graph', 'tiny.yaml')).stdout, /^flowchart TD\n/);
    const schema = (await json('schema')) as { title: string };
    assert.equal(schema.title, 'drq pipeline');
  });

  await context.test('table: works from the lock file alone, as in a fresh clone', async () => {
    await rm(rig.path('artifacts'), { recursive: true });
    const { stdout, stderr } = await drq('table', 'tiny.yaml', '--format', 'csv');
    assert.match(stdout, /^tiny,fp32,30,,,/m, 'the lock has no intervals');
    assert.equal(stderr, '', 'a result that is missing here makes no figure stale');
  });
});
