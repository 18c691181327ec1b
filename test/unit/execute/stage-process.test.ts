import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { createLocalExecutor } from '../../../src/execute/local/local-executor.ts';
import type { StageRequest } from '../../../src/execute/executor.ts';
import type { Digest } from '../../../src/stage/artifact.ts';
import { hashBytes } from '../../../src/store/hash-file.ts';
import {
  runTiny,
  temporaryProject,
  tinyPipeline,
  type TinyStage,
} from '../../support/in-memory-pipeline.ts';

const zodUrl = pathToFileURL(createRequire(import.meta.url).resolve('zod')).href;
// The compiled file beside this test's own: what `drq exec-stage` calls.
const serveUrl = new URL('../../../src/execute/local/serve-stage.js', import.meta.url).href;

/** A stage kind of the user's own whose `run` is the given source text, in a process of its own. */
async function processStage(root: string, body: string): Promise<TinyStage> {
  const modulePath = join(root, 'own-stage.mjs');
  const source = `import { writeFileSync } from 'node:fs';
     import { z } from ${JSON.stringify(zodUrl)};
     export default {
       kind: 'own', version: 1, description: '', parameters: z.looseObject({}),
       inputs: {}, outputs: {}, runtimes: [], cache: 'content', scheduling: 'parallel',
       defaultCpuCount: 1, isolation: 'process',
       async run({ outputs, scratchPath, checkpointPath, parameters, progress, warn, notice, log, signal }) { ${body} },
     };`;
  await writeFile(modulePath, source);
  return {
    name: 'own',
    definition: {
      isolation: 'process',
      environment: ({ cpuCount }) => ({ TINY_THREADS: String(cpuCount) }),
      nodeFlags: ['--expose-gc'],
    },
    node: { ownKind: { modulePath, sourceDigest: hashBytes(source) } },
  };
}

async function entry(root: string): Promise<string> {
  const path = join(root, 'serve.mjs');
  await writeFile(
    path,
    `import { serveStage } from ${JSON.stringify(serveUrl)};
     await serveStage(process.argv[2], () => Promise.reject(new Error('only own kinds here')));`,
  );
  return path;
}

async function runOwn(
  root: string,
  body: string,
  signal?: AbortSignal,
): ReturnType<typeof runTiny> {
  const pipeline = tinyPipeline(root, [await processStage(root, body)]);
  return runTiny(pipeline, { executor: createLocalExecutor([await entry(root)]) }, signal);
}

test('a stage in a process of its own has its environment and flags, and its events arrive', async (t) => {
  const root = await temporaryProject(t);
  const { record, events } = await runOwn(
    root,
    `console.log('a library prints'); log('a line');
     progress({ done: 1, total: 2, unit: 'steps' }); warn('look'); notice('news');
     setInterval(() => undefined, 1000); // a handle left open must not keep the process
     writeFileSync(outputs.out, [process.env.TINY_THREADS, process.pid, typeof gc].join(' '));`,
  );
  assert.equal(record.ran, 1);
  const text = await readFile(join(root, 'artifacts/outputs/tiny/own/out'), 'utf8');
  const [threads, pid, collector] = text.split(' ');
  assert.equal(threads, '1');
  assert.notEqual(pid, String(process.pid));
  assert.equal(collector, 'function');
  assert.ok(events.some((event) => event.type === 'stage-warning' && event.message === 'look'));
  assert.ok(events.some((event) => event.type === 'stage-notice' && event.message === 'news'));
  assert.ok(events.some((event) => event.type === 'stage-progress' && event.total === 2));
});

test('a source that changed since the pipeline was read does not run under the old key', async (t) => {
  const root = await temporaryProject(t);
  const stage = await processStage(root, `writeFileSync(outputs.out, 'old');`);
  const executor = createLocalExecutor([await entry(root)]);
  const modulePath = join(root, 'own-stage.mjs');
  const source = await readFile(modulePath, 'utf8');
  const runWith = (sourceDigest: Digest): ReturnType<typeof runTiny> => {
    const pipeline = tinyPipeline(root, [
      { ...stage, node: { ownKind: { modulePath, sourceDigest } } },
    ]);
    return runTiny(pipeline, { executor });
  };
  await writeFile(modulePath, source.replace("'old'", "'new'"));
  const before = await runWith(hashBytes(source));
  assert.equal(before.record.stages[0]?.error?.code, 'stage/source-changed');

  const editing = `import { appendFileSync } from 'node:fs';
    appendFileSync(${JSON.stringify(modulePath)}, '//');
    ${source.slice(source.indexOf('import { z }'))}`;
  await writeFile(modulePath, editing);
  const meanwhile = await runWith(hashBytes(editing));
  assert.equal(meanwhile.record.stages[0]?.error?.code, 'stage/source-changed');
  assert.ok(!existsSync(join(root, 'artifacts/results')));

  await writeFile(modulePath, source);
  assert.equal((await runWith(hashBytes(source))).record.ran, 1);
});

test('an error in the process is shown with its message, what it printed is in the log', async (t) => {
  const root = await temporaryProject(t);
  const { events } = await runOwn(
    root,
    `console.error('context'); throw new RangeError('too far');`,
  );
  const failure = events.find((event) => event.type === 'stage-failed');
  assert.ok(failure?.type === 'stage-failed');
  assert.equal(failure.message, 'RangeError: too far');
  assert.match(await readFile(failure.logPath, 'utf8'), /context\n(.|\n)*own-stage\.mjs/);
});

test('a process that crashes or exits fails its stage', async (t) => {
  const root = await temporaryProject(t);
  const exited = await runOwn(root, `process.exit(7);`);
  assert.match(exited.record.stages[0]?.error?.message ?? '', /ended with exit code 7/);
  const killed = await runOwn(
    root,
    `process.kill(process.pid, 'SIGKILL'); await new Promise(() => {});`,
  );
  assert.equal(killed.record.stages[0]?.error?.code, 'stage/killed');
});

test('what is thrown where nobody waits fails the stage, in its own name', async (t) => {
  const root = await temporaryProject(t);
  for (const body of [
    `setTimeout(() => { throw new Error('late'); }, 1); await new Promise(() => {});`,
    `void Promise.reject(new Error('late')); await new Promise((end) => setTimeout(end, 5000));`,
  ]) {
    const { events } = await runOwn(root, body);
    const failure = events.find((event) => event.type === 'stage-failed');
    assert.ok(failure?.type === 'stage-failed');
    assert.equal(failure.code, 'stage/uncaught');
    assert.equal(
      failure.message,
      `${join(root, 'own-stage.mjs')} threw where nothing could catch it: Error: late`,
    );
    assert.match(await readFile(failure.logPath, 'utf8'), /own-stage\.mjs:\d+:\d+/);
    await rm(join(root, 'artifacts'), { recursive: true });
  }
});

test('what ends a terminal reaches the stage too, which leaves it to its parent', async (t) => {
  const root = await temporaryProject(t);
  const { record } = await runOwn(
    root,
    `for (const name of ['SIGINT', 'SIGHUP']) process.kill(process.pid, name);
     await new Promise((resolve) => setTimeout(resolve, 50));
     writeFileSync(outputs.out, 'done');`,
  );
  assert.equal(record.ran, 1);
});

test('an abort ends the process and leaves nothing', async (t) => {
  const root = await temporaryProject(t);
  const abort = new AbortController();
  const pidPath = join(root, 'pid');
  const running = runOwn(
    root,
    `writeFileSync(outputs.out, 'half'); writeFileSync(${JSON.stringify(pidPath)}, String(process.pid));
     setInterval(() => undefined, 1000);
     await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('told'))));`,
    abort.signal,
  );
  const pid = await waitForPid(pidPath);
  abort.abort();
  const { record } = await running;
  assert.equal(record.interrupted, true);
  assert.throws(() => process.kill(pid, 0), /ESRCH/);
  assert.ok(!existsSync(join(root, 'artifacts/results')));
  assert.deepEqual(await readdir(join(root, 'artifacts/attempts')), []);
});

test('a stage that asks for it gets longer to end after an abort', async (t) => {
  const root = await temporaryProject(t);
  const pidPath = join(root, 'pid');
  const endPath = join(root, 'end');
  const stage = await processStage(
    root,
    `writeFileSync(${JSON.stringify(pidPath)}, String(process.pid));
     setInterval(() => undefined, 1000);
     await new Promise((resolve) => signal.addEventListener('abort', () => setTimeout(resolve, 400)));
     writeFileSync(${JSON.stringify(endPath)}, 'done');`,
  );
  const executor = createLocalExecutor([await entry(root)]);
  for (const [abortGraceMs, ends] of [
    [50, false],
    [10_000, true],
  ] as const) {
    const pipeline = tinyPipeline(root, [
      { ...stage, definition: { ...stage.definition, abortGraceMs } },
    ]);
    const controller = new AbortController();
    await writeFile(pidPath, '');
    const running = runTiny(pipeline, { executor }, controller.signal);
    await waitForPid(pidPath);
    controller.abort();
    await running;
    assert.equal(existsSync(endPath), ends);
  }
});

test('the process ends itself when its parent dies', async (t) => {
  const root = await temporaryProject(t);
  const { node } = await processStage(
    root,
    `writeFileSync(scratchPath + '/pid', String(process.pid)); setInterval(() => {}, 1000); await new Promise(() => {});`,
  );
  const request: StageRequest = {
    stageId: 'own',
    kind: 'own',
    modulePath: join(root, 'own-stage.mjs'),
    sourceDigest: node?.ownKind?.sourceDigest ?? null,
    parameters: {},
    inputs: {},
    outputs: {},
    declaredOutputPaths: {},
    workFolder: root,
    scratchPath: root,
    checkpointPath: join(root, 'checkpoints'),
    logPath: join(root, 'log.txt'),
    cpuCount: 1,
    projectRoot: root,
  };
  await writeFile(join(root, 'request.json'), JSON.stringify(request));
  const parentCode = `require('node:child_process').spawn(process.execPath, ${JSON.stringify([
    await entry(root),
    join(root, 'request.json'),
  ])}, { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] }); setInterval(() => {}, 1000);`;
  const parent = spawn(process.execPath, ['-e', parentCode], { stdio: 'ignore' });
  const pid = await waitForPid(join(root, 'pid'));
  parent.kill('SIGKILL');
  for (let attempt = 0; attempt < 100 && isAlive(pid); attempt += 1) await delay(50);
  assert.equal(isAlive(pid), false);
});

async function waitForPid(path: string): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const text = existsSync(path) ? await readFile(path, 'utf8') : '';
    if (text !== '') return Number(text);
    await delay(50);
  }
  throw new Error('the stage process did not start');
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
