import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { planPipeline } from '../../../src/plan/make-plan.ts';
import type { Digest } from '../../../src/stage/artifact.ts';
import { writeMetricsFile } from '../../../src/stage/metrics-file.ts';
import { readPipelineLock } from '../../../src/store/lock-file.ts';
import {
  chain,
  runTiny,
  temporaryProject,
  tinyOptions,
  tinyPipeline,
  type TinyStage,
} from '../../support/in-memory-pipeline.ts';

test('the second run does nothing and writes nothing', async (t) => {
  const root = await temporaryProject(t);
  const first = await runTiny(tinyPipeline(root, chain('a')));
  assert.deepEqual(first.lines, [
    'run source  never run',
    'run upper  never run',
    'run suffix  never run',
  ]);
  const output = join(root, 'artifacts/outputs/tiny/suffix/out');
  assert.equal(await readFile(output, 'utf8'), 'A!');
  const before = await fileTimes(root);
  const second = await runTiny(tinyPipeline(root, chain('a')));
  assert.deepEqual(second.lines, ['up-to-date source', 'up-to-date upper', 'up-to-date suffix']);
  assert.equal(second.record.upToDate, 3);
  assert.deepEqual(await fileTimes(root), before);
});

test('a parameter runs its stage and what the changed output reaches; same bytes stop it', async (t) => {
  const root = await temporaryProject(t);
  await runTiny(tinyPipeline(root, chain('a')));
  assert.deepEqual((await runTiny(tinyPipeline(root, chain('b', '?')))).lines, [
    'run source  parameters.text a → b',
    'run upper  input in changed',
    'run suffix  parameters.suffix ! → ?, input in changed',
  ]);
  assert.deepEqual((await runTiny(tinyPipeline(root, chain('B', '?')))).lines, [
    'run source  parameters.text b → B',
    'run upper  input in changed',
    'up-to-date suffix',
  ]);
  const back = await runTiny(tinyPipeline(root, chain('a')));
  assert.deepEqual(back.lines, [
    'restore source  parameters.text B → a',
    'restore upper  input in changed',
    'restore suffix  parameters.suffix ? → !, input in changed',
  ]);
  assert.equal(await readFile(join(root, 'artifacts/outputs/tiny/suffix/out'), 'utf8'), 'A!');
});

test('a missing or damaged object is never served: the stage runs with that reason', async (t) => {
  const root = await temporaryProject(t);
  const pipeline = tinyPipeline(root, chain('a'));
  await runTiny(pipeline);
  const object = await objectOf(root, 'upper', 'out');
  await rm(object);
  assert.equal((await runTiny(pipeline)).lines[1], 'run upper  stored output out is missing');

  const times = await stat(object);
  await chmod(object, 0o644);
  await writeFile(object, 'X'); // the same size, and the old time stamps on top
  await utimes(object, times.atime, times.mtime);
  const healed = await runTiny(pipeline);
  assert.equal(healed.lines[1], 'run upper  stored output out is damaged');
  assert.equal(healed.lines[2], 'up-to-date suffix');
  assert.equal(await readFile(object, 'utf8'), 'A');
  assert.equal(await readFile(join(root, 'artifacts/outputs/tiny/upper/out'), 'utf8'), 'A');
  assert.equal((await runTiny(pipeline)).record.upToDate, 3);
});

test('working copies and the lock file are put back from the store', async (t) => {
  const root = await temporaryProject(t);
  const pipeline = tinyPipeline(root, chain('a'));
  await runTiny(pipeline);
  const copy = join(root, 'artifacts/outputs/tiny/upper/out');
  await rm(copy);
  assert.equal((await runTiny(pipeline)).lines[1], 'restore upper  output out is missing');
  await rm(copy);
  await writeFile(copy, 'Z');
  assert.equal((await runTiny(pipeline)).lines[1], 'restore upper  output out was changed');
  assert.equal(await readFile(copy, 'utf8'), 'A');
  const lockPath = join(root, 'experiments/tiny/lock.yaml');
  const lock = await readFile(lockPath, 'utf8');
  await rm(lockPath);
  assert.equal((await runTiny(pipeline)).record.restored, 3);
  assert.equal(await readFile(lockPath, 'utf8'), lock);
});

test('force runs the named stage although nothing changed, and nothing else', async (t) => {
  const root = await temporaryProject(t);
  const pipeline = tinyPipeline(root, chain('a'));
  await runTiny(pipeline);
  assert.deepEqual((await runTiny(pipeline, { stages: ['upper'], force: true })).lines, [
    'up-to-date source',
    'run upper  forced',
  ]);
  assert.equal((await runTiny(pipeline, { force: true })).record.ran, 3);
  assert.equal((await runTiny(pipeline)).record.upToDate, 3);
});

test('an unknown stage name is a usage error that lists the stages', async (t) => {
  const root = await temporaryProject(t);
  await assert.rejects(
    runTiny(tinyPipeline(root, chain('a')), { stages: ['uper'] }),
    /no stage "uper"; it has source, upper, suffix/,
  );
});

test('folders keep their files; a folder of the user is hashed by content, not by time', async (t) => {
  const root = await temporaryProject(t);
  const data = join(root, 'data');
  await mkdir(join(data, 'b'), { recursive: true });
  await writeFile(join(data, 'b/2.txt'), 'two');
  await writeFile(join(data, '1.txt'), 'one');
  const pipeline = tinyPipeline(root, [
    {
      name: 'copy',
      inputs: { data },
      outputs: { out: 'folder', metrics: 'metrics' },
      run: async (context) => {
        const { inputs, outputs } = context;
        context.warn('careful');
        const from = inputs['data']?.path ?? '';
        await mkdir(join(outputs['out'] ?? '', 'deep'));
        await writeFile(join(outputs['out'] ?? '', 'deep/x'), await readFile(join(from, '1.txt')));
        await writeFile(join(outputs['out'] ?? '', 'same'), await readFile(join(from, '1.txt')));
        await writeMetricsFile(outputs['metrics'] ?? '', {
          values: [
            { name: 'count', value: 2, unit: 'images', direction: 'neutral' },
            {
              name: 'top1Fraction',
              value: 0.5,
              unit: 'fraction',
              direction: 'higher-is-better',
              subject: 'int8',
            },
          ],
          notes: [],
          details: {},
        });
      },
    },
  ]);
  await runTiny(pipeline);
  const out = join(root, 'artifacts/outputs/tiny/copy/out');
  assert.equal(await readFile(join(out, 'deep/x'), 'utf8'), 'one');
  assert.equal((await stat(join(out, 'same'))).mode & 0o777, 0o444);
  const lock = await readPipelineLock(root, 'tiny');
  assert.deepEqual(lock?.stages['copy']?.metrics, {
    'metrics/count': 2,
    'metrics/int8/top1Fraction': 0.5,
  });
  const later = new Date(Date.now() - 60_000);
  await utimes(join(data, '1.txt'), later, later);
  const again = await runTiny(pipeline);
  assert.deepEqual(again.lines, ['up-to-date copy']);
  assert.ok(
    again.events.some((event) => event.type === 'stage-warning' && event.message === 'careful'),
  );
  const lockPath = join(root, 'experiments/tiny/lock.yaml');
  const lockText = await readFile(lockPath, 'utf8');
  await writeFile(lockPath, lockText.replace('top1Fraction: 0.5', 'top1Fraction: 0.9'));
  assert.deepEqual((await runTiny(pipeline)).lines, [
    'restore copy  the lock file has other outputs or metrics than the stored result',
  ]);
  assert.equal(await readFile(lockPath, 'utf8'), lockText);
  await writeFile(join(data, '1.txt'), 'ONE');
  assert.deepEqual((await runTiny(pipeline)).lines, ['run copy  input data changed']);
  assert.equal(await readFile(join(out, 'same'), 'utf8'), 'ONE');
});

test('plan tells what would run, what waits, and changes nothing', async (t) => {
  const root = await temporaryProject(t);
  await runTiny(tinyPipeline(root, chain('a')));
  const before = await fileTimes(root);
  const plan = await planPipeline(tinyPipeline(root, chain('b')), tinyOptions);
  assert.deepEqual(
    plan.stages.map(({ stageId, action, reason }) => `${action} ${stageId}  ${reason}`),
    [
      'run source  parameters.text a → b',
      'waits upper  waits for source',
      'waits suffix  waits for upper',
    ],
  );
  assert.deepEqual(await fileTimes(root), before);
});

test('stages that measure run alone; others share the cores', async (t) => {
  const root = await temporaryProject(t);
  const running = new Set<string>();
  const seen: string[] = [];
  const stage = (name: string, scheduling: 'parallel' | 'alone', cpuCount: number): TinyStage => ({
    name,
    definition: { scheduling },
    node: { resources: { cpuCount } },
    run: async ({ outputs, stageId }) => {
      running.add(stageId);
      await new Promise((resolve) => setTimeout(resolve, 30));
      seen.push([...running].sort().join('+'));
      running.delete(stageId);
      await writeFile(outputs['out'] ?? '', name);
    },
  });
  await runTiny(
    tinyPipeline(root, [
      stage('a', 'parallel', 1),
      stage('timed', 'alone', 1),
      stage('b', 'parallel', 1),
      stage('wide', 'parallel', 2),
    ]),
    { jobs: 4, coreCount: 2 },
  );
  assert.deepEqual(
    seen.filter((names) => names.includes('timed')),
    ['timed'],
  );
  assert.deepEqual(
    seen.filter((names) => names.includes('wide')),
    ['wide'],
  );
  assert.ok(seen.includes('a+b'), seen.join(' '));
});

test('two cells with the same key: one runs, the other takes its result', async (t) => {
  const root = await temporaryProject(t);
  let runs = 0;
  const cell = (name: string): TinyStage => ({
    name,
    definition: { kind: 'same' },
    run: async ({ outputs }) => {
      runs += 1;
      await writeFile(outputs['out'] ?? '', 'x');
    },
  });
  const { record } = await runTiny(tinyPipeline(root, [cell('one'), cell('two')]));
  assert.deepEqual([record.ran, record.restored, runs], [1, 1, 1]);
});

test('figures of another machine are not shown as this one’s; a new version runs again', async (t) => {
  const root = await temporaryProject(t);
  const measuring = (version: number): TinyStage => ({
    name: 'timed',
    definition: { cache: 'per-machine', version },
    run: ({ outputs }) => writeFile(outputs['out'] ?? '', 'x'),
  });
  const on = (machine: string): Partial<typeof tinyOptions> => ({
    machineFingerprint: () => Promise.resolve(machine.repeat(64) as Digest),
  });
  await runTiny(tinyPipeline(root, [measuring(1)]), on('a'));
  const elsewhere = await runTiny(tinyPipeline(root, [measuring(1)]), on('b'));
  assert.deepEqual(elsewhere.lines, ['run timed  machine changed']);
  const newer = await runTiny(tinyPipeline(root, [measuring(2)]), on('b'));
  assert.deepEqual(newer.lines, ['run timed  kind version 1 → 2']);
  const back = await runTiny(tinyPipeline(root, [measuring(1)]), on('a'));
  assert.deepEqual(back.lines, ['restore timed  kind version 2 → 1, machine changed']);
});

test('a partial run keeps what the lock file says of other stages; a whole one forgets old ones', async (t) => {
  const root = await temporaryProject(t);
  await runTiny(tinyPipeline(root, chain('a')));
  const shorter = tinyPipeline(root, chain('a').slice(0, 2));
  await runTiny(shorter, { stages: ['upper'] });
  assert.ok((await readPipelineLock(root, 'tiny'))?.stages['suffix']);
  await runTiny(shorter);
  assert.deepEqual(Object.keys((await readPipelineLock(root, 'tiny'))?.stages ?? {}), [
    'source',
    'upper',
  ]);
});

async function objectOf(root: string, stageId: string, output: string): Promise<string> {
  const lock = await readPipelineLock(root, 'tiny');
  const digest = lock?.stages[stageId]?.outputs[output]?.digest ?? '';
  return join(root, 'artifacts/objects', digest.slice(0, 2), digest.slice(2));
}

/** Every file of the project with its time, to see that nothing was written. */
async function fileTimes(root: string): Promise<Record<string, bigint>> {
  const times: Record<string, bigint> = {};
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) times[path] = (await stat(path, { bigint: true })).mtimeNs;
  }
  return times;
}
