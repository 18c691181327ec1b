import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
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
    if (!existsSync(`/proc/${pid}`)) return true;
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
