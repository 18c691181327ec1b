import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createRig, libraryUrl, type Rig } from '../support/rig.ts';

/** A stage in a process of its own that ends when it is told to, and else never. */
const WAITING = `
import { setTimeout as delay } from 'node:timers/promises';
import { defineStage, z } from '${libraryUrl()}';
export default defineStage({
  kind: 'waiting', version: 1, description: '', parameters: z.strictObject({}),
  inputs: {}, outputs: { out: { kind: 'file', description: '' } }, runtimes: [], cache: 'content',
  scheduling: 'parallel', defaultCpuCount: 1, isolation: 'process',
  async run({ signal }) { await delay(120_000, null, { signal }); },
});
`;

async function waitingRig(context: TestContext): Promise<Rig> {
  const rig = await createRig(context);
  await rig.write('waiting.mjs', WAITING);
  await rig.write('wait.yaml', 'name: wait\nstages:\n  waiting: { kind: ./waiting.mjs }\n');
  return rig;
}

/** The process of its stage, as soon as there is one. */
async function stageProcessOf(pid: number): Promise<number> {
  for (;;) {
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
    for (const child of children.split(' ').filter((text) => text !== '')) {
      const command = await readFile(`/proc/${child}/cmdline`, 'utf8').catch(() => '');
      if (command.includes('exec-stage')) return Number(child);
    }
    await delay(5);
  }
}

async function endsWithin(pid: number, milliseconds: number): Promise<boolean> {
  for (const start = performance.now(); performance.now() - start < milliseconds;) {
    const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z ');
    if (state.includes(') Z ')) return true; // ended, whether or not it has been collected
    await delay(20);
  }
  return false;
}

// A stage process takes about half a second to load; signals come before, in between and after.
const INSTANTS_MS = [50, 200, 350, 800];

test('a signal while a stage process loads is not lost', async (context) => {
  const rig = await waitingRig(context);
  for (const instant of INSTANTS_MS) {
    const run = rig.start('run', 'wait.yaml');
    const stage = await stageProcessOf(run.pid!); // it was started
    await delay(instant);
    run.kill('SIGTERM');
    assert.ok(await endsWithin(stage, 10_000), `after ${instant} ms`);
    assert.equal((await run).exitCode, 130);
  }
});

test('a stage process that loads when its parent is killed ends, too', async (context) => {
  const rig = await waitingRig(context);
  for (const instant of INSTANTS_MS) {
    const run = rig.start('run', 'wait.yaml');
    const stage = await stageProcessOf(run.pid!); // it was started
    await delay(instant);
    run.kill('SIGKILL');
    await run;
    assert.ok(await endsWithin(stage, 10_000), `after ${instant} ms`);
  }
});

test('the program of a command ends, with its children, when drq is killed', async (context) => {
  const rig = await createRig(context);
  const script = `
    const { spawn } = require('node:child_process');
    const child = spawn('sleep', ['120']);
    require('node:fs').writeFileSync(process.argv[1], process.pid + ' ' + child.pid);
    setInterval(() => {}, 1000);`;
  const program = { program: process.execPath, arguments: ['--eval', script, rig.path('pids')] };
  const stages = { wait: { kind: 'command', parameters: program } };
  await rig.write('kill.yaml', JSON.stringify({ name: 'kill', stages }));
  const run = rig.start('run', 'kill.yaml');
  let pids: string[] = [];
  while (pids.length < 2) {
    pids = (await rig.read('pids').catch(() => '')).split(' ');
    await delay(20);
  }
  run.kill('SIGKILL');
  await run;
  for (const pid of pids) assert.ok(await endsWithin(Number(pid), 10_000));
});

/** Fails once, after it wrote something to go on from; ends well when it finds that. */
const GOING_ON = `
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { defineStage, z } from '${libraryUrl()}';
export default defineStage({
  kind: 'going-on', version: 1, description: '', parameters: z.strictObject({}),
  inputs: {}, outputs: { out: { kind: 'file', description: '' } }, runtimes: [], cache: 'content',
  scheduling: 'parallel', defaultCpuCount: 1, isolation: 'in-process',
  async run({ checkpointPath, outputs }) {
    const path = join(checkpointPath, 'half.txt');
    if (existsSync(path)) return writeFile(outputs.out, 'done');
    await mkdir(checkpointPath, { recursive: true });
    await writeFile(path, 'half');
    throw new Error('broke off');
  },
});
`;

test('plan, why and status tell of a checkpoint that a run can go on from', async (context) => {
  const rig = await createRig(context);
  await rig.write('going-on.mjs', GOING_ON);
  await rig.write('on.yaml', 'name: on\nstages:\n  on: { kind: ./going-on.mjs }\n');
  const planned = async (): Promise<string> => (await rig.drq('plan', 'on.yaml')).stdout;
  assert.match(await planned(), /^run {2}on {2}never run\n/);
  assert.equal((await rig.drq('run', 'on.yaml')).exitCode, 1);
  assert.match(await planned(), /^run {2}on {2}an earlier run left a checkpoint to go on from\n/);
  const why = await rig.drq('why', 'on.yaml', 'on');
  assert.match(
    why.stdout,
    /^on: run\n {2}because an earlier run left a checkpoint to go on from\n/,
  );
  const status = await rig.drq('status', 'on.yaml');
  assert.match(status.stdout, /^on: must run \(an earlier run left a checkpoint to go on from\)/);
  assert.equal((await rig.drq('run', 'on.yaml')).exitCode, 0);
  assert.match(await planned(), /^up to date {2}on\n/);
});
