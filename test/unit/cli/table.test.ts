import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { test, type TestContext } from 'node:test';
import { runInProcess } from '../../support/in-process-cli.ts';
import { createRig, type Rig } from '../../support/rig.ts';
import { writeTinyPipeline } from '../../support/tiny-pipeline.ts';

/** A pipeline that was run where `join` measures, and committed from a machine that is not this one. */
async function measuredElsewhere(context: TestContext): Promise<Rig> {
  const rig = await createRig(context);
  await writeTinyPipeline(rig);
  const measuring = (await rig.read('join.mjs')).replace("'content'", "'per-machine'");
  await rig.write('join.mjs', measuring);
  assert.equal((await runInProcess(rig.root, 'run', 'tiny.yaml')).exitCode, 0);
  const lock = await rig.read('experiments/tiny/lock.yaml');
  assert.match(lock, /machine: \S/);
  await rig.write(
    'experiments/tiny/lock.yaml',
    lock.replace(/machine: \S+/, `machine: ${'a'.repeat(64)}`),
  );
  return rig;
}

const NOTE =
  'note: figures of another machine are shown of what has not been run on this one: join\n';
const REMARK = 'tiny int8: join has not been run on this machine; its figures are of another';

test('figures of another machine are shown as such, in a clone without artifacts, too', async (context) => {
  const rig = await measuredElsewhere(context);
  const table = () => runInProcess(rig.root, 'table', 'tiny.yaml', '--format', 'markdown');
  const whole = await table();
  assert.equal(whole.stderr, NOTE);
  assert.ok(whole.stdout.includes(REMARK), whole.stdout);
  await rm(rig.path('artifacts'), { recursive: true });
  const clone = await table();
  assert.equal(clone.stderr, NOTE);
  assert.ok(clone.stdout.includes(REMARK), clone.stdout);
});

test('a run of other stages writes no figures of another machine into the tables', async (context) => {
  const rig = await measuredElsewhere(context);
  await rm(rig.path('artifacts'), { recursive: true });
  assert.equal((await runInProcess(rig.root, 'run', 'tiny.yaml', 'count')).exitCode, 0);
  const table = await rig.read('experiments/tiny/comparison.md');
  assert.ok(table.includes('tiny int8: join has not been run on this machine'), table);
  assert.match(await rig.read('experiments/tiny/comparison.csv'), /^tiny,int8,,,,,/m);
});
