import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Pipeline, StageId } from '../../../src/pipeline/spec.ts';
import type { Plan } from '../../../src/plan/planned-stage.ts';
import type { Digest } from '../../../src/stage/artifact.ts';
import { writeMetricsFile } from '../../../src/stage/metrics-file.ts';
import { readPipelineLock } from '../../../src/store/lock-file.ts';
import type { PipelineLock } from '../../../src/store/pipeline-lock.ts';
import { openStore } from '../../../src/store/store.ts';
import { collectTables } from '../../../src/tables/collect-tables.ts';
import {
  findStagesOfOtherMachines,
  findStaleStages,
  staleRemarks,
} from '../../../src/tables/stale-stages.ts';
import { tableToJson } from '../../../src/tables/table-json.ts';
import { writeTables } from '../../../src/tables/write-tables.ts';
import { runTiny, tinyPipeline } from '../../support/in-memory-pipeline.ts';

/** A pipeline of one stage that measures, run once. */
async function measured(context: TestContext): Promise<{ pipeline: Pipeline; lock: PipelineLock }> {
  const root = await mkdtemp(join(tmpdir(), 'drq-test-'));
  context.after(() => rm(root, { recursive: true, force: true }));
  const stages = tinyPipeline(root, [
    {
      name: 'measure',
      outputs: { metrics: 'metrics' },
      run: ({ outputs }) =>
        writeMetricsFile(outputs['metrics'] ?? '', {
          values: [
            {
              name: 'top1Fraction',
              value: 0.5,
              unit: 'fraction',
              direction: 'higher-is-better',
              interval: [0.4, 0.6],
            },
            {
              name: 'sizeBytes',
              value: 1e6,
              unit: 'bytes',
              direction: 'neutral',
              subject: 'model',
            },
            {
              name: 'sizeBytes',
              value: 4e6,
              unit: 'bytes',
              direction: 'neutral',
              subject: 'baseline',
            },
          ],
          notes: ['few images'],
          details: {},
        }),
    },
  ]);
  const pipeline: Pipeline = {
    ...stages,
    tables: [
      {
        name: 'comparison',
        rows: ['baseline', 'model'].map((subject) => ({
          labels: { model: subject },
          sources: [{ stageId: 'measure' as StageId, output: 'metrics', subject }],
        })),
        notes: [],
      },
    ],
  };
  await runTiny(pipeline);
  const lock = await readPipelineLock(root, pipeline.name);
  assert.ok(lock !== null);
  return { pipeline, lock };
}

test('figures come from the store with intervals and notes, else from the lock without', async (context) => {
  const { pipeline, lock } = await measured(context);
  const store = await openStore(pipeline.projectRoot);
  const [full] = await collectTables({ pipeline, lock, store });
  assert.ok(full !== undefined);
  const rows = tableToJson(full).rows;
  assert.deepEqual(
    rows.map((row) => [row['top1_percent'], row['top1_low_percent'], row['size_mb'], row['note']]),
    [
      [50, 40, 4, 'few images'],
      [50, 40, 1, 'few images'],
    ],
  );

  await rm(join(pipeline.projectRoot, 'artifacts'), { recursive: true });
  const clone = await openStore(pipeline.projectRoot);
  const [bare] = await collectTables({ pipeline, lock, store: clone });
  assert.ok(bare !== undefined);
  assert.deepEqual(
    tableToJson(bare).rows.map((row) => [
      row['top1_percent'],
      row['top1_low_percent'],
      row['size_mb'],
      row['note'],
    ]),
    [
      [50, null, 4, null],
      [50, null, 1, null],
    ],
  );
});

test('withheld figures leave their cells empty and say why', async (context) => {
  const { pipeline, lock } = await measured(context);
  const store = await openStore(pipeline.projectRoot);
  const withheld = new Map([['measure', 'measure failed']]);
  const [table] = await collectTables({ pipeline, lock, store, withheld });
  assert.ok(table !== undefined);
  assert.equal(tableToJson(table).rows[0]?.['top1_percent'], null);
  assert.deepEqual(table.notes, ['measure failed']);
  assert.equal(table.hasFigures, false);
});

test('figures of before are shown with a remark; a stage that never ran has the remark alone', async (context) => {
  const { pipeline, lock } = await measured(context);
  const store = await openStore(pipeline.projectRoot);
  const cell = 'measure@width=2' as StageId;
  const sources = [{ stageId: cell, output: 'metrics', subject: null }];
  const rows = pipeline.tables.flatMap((table) => table.rows).slice(0, 1);
  const tables = [{ name: 't', rows: [...rows, { labels: { model: 'new' }, sources }], notes: [] }];
  const remarks = staleRemarks(
    new Map([
      ['measure' as StageId, 'changed'],
      [cell, 'never-run'],
    ]),
    'shown',
  );
  const [table] = await collectTables({ pipeline: { ...pipeline, tables }, lock, store, remarks });
  assert.ok(table !== undefined);
  assert.deepEqual(
    tableToJson(table).rows.map((row) => row['top1_percent']),
    [50, null],
  );
  assert.deepEqual(table.notes, [
    'baseline: few images',
    'baseline: figures of an earlier run, before the pipeline changed',
    'new: measure has not been run',
  ]);
  assert.equal(table.hasFigures, true);
});

test('tables are written once and left alone while nothing changes', async (context) => {
  const { pipeline, lock } = await measured(context);
  const store = await openStore(pipeline.projectRoot);
  const tables = await collectTables({ pipeline, lock, store });
  const [csv = ''] = await writeTables(pipeline, tables);
  assert.equal(csv, join(pipeline.projectRoot, 'experiments', 'tiny', 'comparison.csv'));
  assert.match(await readFile(csv, 'utf8'), /^model,top1_percent,top1_low_percent/);
  assert.match(await readFile(csv.replace('.csv', '.md'), 'utf8'), /^- few images$/m);
  const before = (await stat(csv)).ino;
  await writeTables(pipeline, tables);
  assert.equal((await stat(csv)).ino, before, 'an atomic write would have made another file');
});

const key = (letter: string): Digest => letter.repeat(64) as Digest;
const id = (name: string): StageId => name as StageId;
const locked = (letter: string, machine?: string): PipelineLock['stages'][string] => ({
  key: key(letter),
  kind: 'k',
  version: 1,
  parameters: {},
  inputs: {},
  runtimes: {},
  outputs: {},
  metrics: {},
  ...(machine === undefined ? {} : { machine: key(machine) }),
});

test('stale: another key, or fed by what is stale; a result missing on this machine is not', () => {
  const common = { reasons: [], reason: '', warnings: [] };
  const plan: Plan = {
    pipeline: 'p',
    stages: [
      { stageId: id('changed'), action: 'run', key: key('b'), ...common },
      { stageId: id('missing'), action: 'run', key: key('c'), ...common },
      { stageId: id('fed'), action: 'waits', waitsFor: [id('changed')], reason: '' },
      { stageId: id('waiting'), action: 'waits', waitsFor: [id('missing')], reason: '' },
      { stageId: id('new'), action: 'run', key: key('d'), ...common },
    ],
  };
  const lock: PipelineLock = {
    format: 1,
    pipeline: 'p',
    profile: null,
    stages: {
      changed: locked('a'),
      missing: locked('c'),
      fed: locked('e'),
      waiting: locked('f'),
    },
  };
  assert.deepEqual(
    [...findStaleStages(plan, lock, key('0'))],
    [
      ['changed', 'changed'],
      ['fed', 'changed'],
      ['new', 'never-run'],
    ],
  );
});

test('stale: measured on another machine, wherever the plan gets to, and what is fed by it alone', () => {
  const common = { reasons: [], reason: '', warnings: [] };
  const waits = (name: string, ...waitsFor: string[]): Plan['stages'][number] => ({
    stageId: id(name),
    action: 'waits',
    waitsFor: waitsFor.map(id),
    reason: '',
  });
  const plan: Plan = {
    pipeline: 'p',
    stages: [
      { stageId: id('missing'), action: 'run', key: key('a'), ...common },
      { stageId: id('changed'), action: 'run', key: key('b'), ...common },
      waits('elsewhere', 'missing'),
      waits('here', 'missing'),
      { stageId: id('known'), action: 'run', key: key('c'), ...common },
      waits('fed', 'elsewhere'),
      waits('both', 'elsewhere', 'changed'),
    ],
  };
  const lock: PipelineLock = {
    format: 1,
    pipeline: 'p',
    profile: null,
    stages: {
      missing: locked('a'),
      changed: locked('a'),
      elsewhere: locked('a', '1'),
      here: locked('a', '0'),
      known: locked('d', '1'),
      fed: locked('a'),
      both: locked('a'),
    },
  };
  const stale = findStaleStages(plan, lock, key('0'));
  assert.deepEqual(
    [...stale],
    [
      ['changed', 'changed'],
      ['elsewhere', 'other-machine'],
      ['known', 'other-machine'],
      ['fed', 'other-machine'],
      ['both', 'changed'],
    ],
  );
  assert.deepEqual(
    [...findStagesOfOtherMachines(['here', 'known', 'new'].map(id), lock, key('0'))],
    [['known', 'other-machine']],
  );
  assert.equal(
    staleRemarks(stale, 'left-out').get(id('known')),
    'known has not been run on this machine',
  );
  assert.equal(
    staleRemarks(stale, 'shown').get(id('known')),
    'known has not been run on this machine; its figures are of another',
  );
});
