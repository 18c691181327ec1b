import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Digest } from '../../../src/stage/artifact.ts';
import { formatPipelineLock } from '../../../src/store/lock-file.ts';
import type { LockedStage, PipelineLock } from '../../../src/store/pipeline-lock.ts';
import { runInProcess } from '../../support/in-process-cli.ts';
import { createRig, type Rig } from '../../support/rig.ts';

const digest = (letter: string): Digest => letter.repeat(64) as Digest; // 64 hexadecimal digits

const stage = (rest: Partial<LockedStage>): LockedStage => ({
  key: digest('a'),
  kind: 'evaluate',
  version: 1,
  parameters: {},
  inputs: {},
  runtimes: { 'onnxruntime-node': '1.30.0' },
  outputs: { metrics: { kind: 'metrics', digest: digest('b'), sizeBytes: 10 } },
  metrics: {},
  ...rest,
});

const lock = (stages: Record<string, LockedStage>, pipeline = 'net'): PipelineLock => ({
  format: 1,
  pipeline,
  profile: null,
  stages,
});

const BEFORE = lock({
  train: stage({ kind: 'train', parameters: { epochs: 5, optimizer: { momentum: 0.9 } } }),
  evaluate: stage({ metrics: { 'metrics/top1Fraction': 0.58, 'metrics/imageCount': 103 } }),
  benchmark: stage({
    machine: digest('1'),
    metrics: {
      'metrics/model/latencyMedianMs': 10,
      'metrics/model/sizeBytes': 2400000,
      'metrics/verdict': 'clear',
    },
  }),
});
const AFTER = lock({
  train: stage({
    kind: 'train',
    key: digest('c'),
    parameters: { epochs: 10, optimizer: { momentum: 0.9 } },
    runtimes: { 'onnxruntime-node': '1.31.0' },
  }),
  evaluate: stage({
    inputs: { model: digest('d') },
    outputs: { metrics: { kind: 'metrics', digest: digest('e'), sizeBytes: 10 } },
    metrics: { 'metrics/top1Fraction': 0.574, 'metrics/imageCount': 103 },
  }),
  benchmark: stage({
    machine: digest('1'),
    metrics: {
      'metrics/model/latencyMedianMs': 10.4,
      'metrics/model/sizeBytes': 2400000,
      'metrics/verdict': 'noisy',
    },
  }),
});

async function rigWith(
  context: Parameters<typeof createRig>[0],
  a: PipelineLock,
  b: PipelineLock,
): Promise<Rig> {
  const rig = await createRig(context);
  await rig.write('a.yaml', formatPipelineLock(a));
  await rig.write('b.yaml', formatPipelineLock(b));
  return rig;
}

test('two lock files: parameters, digests, versions and metrics that changed', async (context) => {
  const rig = await rigWith(context, BEFORE, AFTER);
  const result = await runInProcess(rig.root, 'diff', 'a.yaml', 'b.yaml');
  assert.deepEqual(result, {
    exitCode: 0,
    stderr: '',
    stdout: `net: A = a.yaml, B = b.yaml

benchmark
┌───────────────────────────────┬───────┬───────┬────────────┬───────┐
│ metric                        │     A │     B │     change │       │
├───────────────────────────────┼───────┼───────┼────────────┼───────┤
│ metrics/model/latencyMedianMs │    10 │  10.4 │ +0.4 (+4%) │ worse │
├───────────────────────────────┼───────┼───────┼────────────┼───────┤
│ metrics/verdict               │ clear │ noisy │            │       │
└───────────────────────────────┴───────┴───────┴────────────┴───────┘

evaluate
  input model: (none) → dddddddddddd
  output metrics: bbbbbbbbbbbb → eeeeeeeeeeee
┌──────────────────────┬─────────┬─────────┬─────────┬───────┐
│ metric               │       A │       B │  change │       │
├──────────────────────┼─────────┼─────────┼─────────┼───────┤
│ metrics/top1Fraction │ 58.00 % │ 57.40 % │ -0.6 pp │ worse │
└──────────────────────┴─────────┴─────────┴─────────┴───────┘

train
  parameter epochs: 5 → 10
  runtime onnxruntime-node: 1.30.0 → 1.31.0
`,
  });
});

test('a broken bound: exit 3, and which, where and with what values', async (context) => {
  const rig = await rigWith(context, BEFORE, AFTER);
  const broken = await runInProcess(
    rig.root,
    'diff',
    'a.yaml',
    'b.yaml',
    '--fail-on',
    'top1 < -0.5pp',
  );
  assert.equal(broken.exitCode, 3);
  assert.equal(
    broken.stderr,
    'error diff/bound-broken: top1 < -0.5pp: evaluate/metrics/top1Fraction 58.00 % → 57.40 %, change -0.6 pp\n',
  );
  const held = await runInProcess(
    rig.root,
    ...['diff', 'a.yaml', 'b.yaml', '--fail-on', 'top1 < -1pp', '--fail-on', 'latency > +5%'],
    ...['--fail-on', 'sizeBytes > 0', '--format', 'json'],
  );
  assert.equal(held.exitCode, 0);
  assert.equal(held.stderr, '');
  const { bounds } = JSON.parse(held.stdout) as { bounds: { path: string; change: number }[] };
  assert.deepEqual(
    bounds.map(({ path, change }) => [path, change]),
    [
      ['evaluate/metrics/top1Fraction', -0.6],
      ['benchmark/metrics/model/latencyMedianMs', 4],
      ['benchmark/metrics/model/sizeBytes', 0],
    ],
  );
});

test('what cannot be compared never passes: exit 1', async (context) => {
  const rig = await rigWith(context, BEFORE, AFTER);
  const unknown = await runInProcess(
    rig.root,
    'diff',
    'a.yaml',
    'b.yaml',
    '--fail-on',
    'kappa < 0',
  );
  assert.equal(unknown.exitCode, 1);
  assert.equal(
    unknown.stderr,
    'error diff/cannot-compare: kappa < 0: no stage of either side has a metric "quadraticWeightedKappa"\n',
  );
  const text = await runInProcess(rig.root, 'diff', 'a.yaml', 'b.yaml', '--fail-on', 'verdict < 0');
  assert.equal(text.exitCode, 1);
  assert.match(text.stderr, /is a text \("clear" → "noisy"\)/);
  const points = await runInProcess(
    rig.root,
    'diff',
    'a.yaml',
    'b.yaml',
    '--fail-on',
    'size > 1pp',
  );
  assert.equal(points.exitCode, 1);
  assert.match(points.stderr, /is no fraction/);

  await rig.write('other.yaml', formatPipelineLock(lock({ else: stage({}) })));
  const nothing = await runInProcess(rig.root, 'diff', 'a.yaml', 'other.yaml');
  assert.equal(nothing.exitCode, 1);
  assert.match(nothing.stderr, /^error diff\/nothing-in-common: /);

  await rig.write('bad.yaml', 'format: 1\npipeline: [\n');
  const unreadable = await runInProcess(rig.root, 'diff', 'a.yaml', 'bad.yaml');
  assert.equal(unreadable.exitCode, 1);
  assert.match(unreadable.stderr, /^error lock\/invalid: bad\.yaml /);
});

test('a metric that one side lacks cannot be compared', async (context) => {
  const without = lock({ ...AFTER.stages, evaluate: stage({ metrics: {} }) });
  const rig = await rigWith(context, BEFORE, without);
  const result = await runInProcess(
    rig.root,
    'diff',
    'a.yaml',
    'b.yaml',
    '--fail-on',
    'top1 < -0.5pp',
  );
  assert.equal(result.exitCode, 1);
  assert.match(result.stderr, /evaluate\/metrics\/top1Fraction is only in A/);
});

test('of several pipelines a bound names its own, and one that a side lacks cannot be compared', async (context) => {
  const rig = await createRig(context);
  const scores = (top1Fraction: number) => ({
    evaluate: stage({ metrics: { 'metrics/top1Fraction': top1Fraction } }),
  });
  await rig.write('a/one/lock.yaml', formatPipelineLock(lock(scores(0.5), 'one')));
  await rig.write('a/two/lock.yaml', formatPipelineLock(lock(scores(0.6), 'two')));
  await rig.write('b/one/lock.yaml', formatPipelineLock(lock(scores(0.5), 'one')));
  const bound = ['--fail-on', 'top1 < -0.5pp'];
  const gone = await runInProcess(rig.root, 'diff', 'a', 'b', ...bound);
  assert.equal(gone.exitCode, 1);
  assert.equal(
    gone.stderr,
    'error diff/cannot-compare: top1 < -0.5pp: two: evaluate/metrics/top1Fraction is only in A\n',
  );
  await rig.write('b/two/lock.yaml', formatPipelineLock(lock(scores(0.5), 'two')));
  const broken = await runInProcess(rig.root, 'diff', 'a', 'b', ...bound);
  assert.equal(broken.exitCode, 3);
  assert.equal(
    broken.stderr,
    'error diff/bound-broken: top1 < -0.5pp: two: evaluate/metrics/top1Fraction 60.00 % → 50.00 %, change -10 pp\n',
  );
  // Of a fraction nothing changes by 1, so such a bound would never break.
  const whole = await runInProcess(rig.root, 'diff', 'a', 'b', '--fail-on', 'top1 < -1');
  assert.equal(whole.exitCode, 1);
  assert.match(whole.stderr, /one: .* is a fraction of 1, .* write pp for percentage points/);
});

test('times of two machines are not held against a bound', async (context) => {
  const moved = lock({
    benchmark: stage({
      machine: digest('2'),
      metrics: { 'metrics/model/latencyMedianMs': 1, 'metrics/model/sizeBytes': 2400000 },
    }),
  });
  const rig = await rigWith(context, BEFORE, moved);
  const latency = await runInProcess(
    rig.root,
    'diff',
    'a.yaml',
    'b.yaml',
    '--fail-on',
    'latency > +5%',
  );
  assert.equal(latency.exitCode, 1);
  assert.match(latency.stderr, /measured on two different machines/);
  const size = await runInProcess(rig.root, 'diff', 'a.yaml', 'b.yaml', '--fail-on', 'size > 0');
  assert.equal(size.exitCode, 0);
});

test('a malformed bound is a usage error with the grammar: exit 2', async (context) => {
  const rig = await rigWith(context, BEFORE, AFTER);
  assert.deepEqual(
    await runInProcess(rig.root, 'diff', 'a.yaml', 'b.yaml', '--fail-on', 'top1 down'),
    {
      exitCode: 2,
      stdout: '',
      stderr:
        'error usage/malformed-bound: --fail-on "top1 down" is not a bound on a change\n' +
        "hint: write METRIC (<|<=|>|>=) [+|-]NUMBER[pp|%], for instance 'top1 < -0.5pp', 'latencyMedianMs > +5%' or 'sizeBytes > 0'\n",
    },
  );
});

test('git revisions: a bare one, one with a path, and against the working tree', async (context) => {
  const rig = await createRig(context);
  const path = 'experiments/net/lock.yaml';
  await rig.git('init', '-q');
  await rig.write(path, formatPipelineLock(BEFORE));
  await rig.write('experiments/other/lock.yaml', formatPipelineLock(lock(BEFORE.stages, 'other')));
  await rig.git('add', '.');
  await rig.git('commit', '-q', '-m', 'one');
  await rig.write(path, formatPipelineLock(AFTER));
  await rig.git('commit', '-q', '-a', '-m', 'two');

  for (const [a, b] of [
    ['HEAD~1', 'HEAD'],
    ['HEAD~1:experiments/net', 'HEAD:experiments/net/'],
    ['HEAD~1:experiments/net/lock.yaml', 'experiments/net'],
    ['HEAD~1', 'experiments'],
    ['HEAD~1:experiments', '.'],
  ] as const) {
    const result = await runInProcess(
      rig.root,
      'diff',
      a,
      b,
      '--fail-on',
      'train/nothing < 0',
      '--format',
      'json',
    );
    assert.equal(result.exitCode, 1, `${a} ${b}: ${result.stderr}`);
    const { pipelines } = JSON.parse(result.stdout) as {
      pipelines: { pipeline: string; changed: { stageId: string }[] }[];
    };
    const net = pipelines.find(({ pipeline }) => pipeline === 'net');
    assert.deepEqual(
      net?.changed.map(({ stageId }) => stageId),
      ['benchmark', 'evaluate', 'train'],
      `${a} ${b}`,
    );
  }
  const markdown = await runInProcess(rig.root, 'diff', 'HEAD~1', 'HEAD', '--format', 'markdown');
  assert.match(markdown.stdout, /^## net: A = HEAD~1, B = HEAD$/m);
  assert.match(markdown.stdout, /^- parameter `epochs`: 5 → 10$/m);
  assert.match(
    markdown.stdout,
    /^\| metrics\/top1Fraction \| 58.00 % \| 57.40 % \| -0.6 pp \| worse \|$/m,
  );
});

test('git revisions: a path with a leading ./ or ../ starts at the working folder, as in git', async (context) => {
  const rig = await createRig(context);
  await rig.git('init', '-q');
  await rig.write('project/experiments/net/lock.yaml', formatPipelineLock(BEFORE));
  await rig.write('project/pipelines/net.yaml', '');
  await rig.git('add', '.');
  await rig.git('commit', '-q', '-m', 'one');
  for (const [folder, side] of [
    ['.', 'HEAD:./project/experiments/net'],
    ['project', 'HEAD:./experiments/net/'],
    ['project', 'HEAD:.'],
    ['project/pipelines', 'HEAD:../experiments/net/lock.yaml'],
    ['project/pipelines', 'HEAD:../..'],
    ['project/pipelines', 'HEAD:project/experiments'],
  ] as const) {
    const result = await runInProcess(rig.path(folder), 'diff', side, 'HEAD');
    assert.equal(result.exitCode, 0, `${folder} ${side}: ${result.stderr}`);
  }
  const outside = await runInProcess(rig.root, 'diff', 'HEAD:../experiments', 'HEAD');
  assert.match(outside.stderr, /^error diff\/no-locks: /);
});

test('a side that names nothing is told so', async (context) => {
  const rig = await rigWith(context, BEFORE, AFTER);
  const missing = await runInProcess(rig.root, 'diff', 'a.yaml', 'nowhere');
  assert.equal(missing.exitCode, 2);
  assert.match(missing.stderr, /^error diff\/not-found: "nowhere" is no lock file/);
  await rig.git('init', '-q');
  await rig.git('add', '.');
  await rig.git('commit', '-q', '-m', 'one');
  const revision = await runInProcess(rig.root, 'diff', 'a.yaml', 'v9:experiments/net');
  assert.equal(revision.exitCode, 2);
  assert.match(revision.stderr, /git knows no revision "v9"/);
  const noLocks = await runInProcess(rig.root, 'diff', 'a.yaml', 'HEAD:experiments/net');
  assert.equal(noLocks.exitCode, 1);
  assert.match(noLocks.stderr, /^error diff\/no-locks: /);
  const dashed = await runInProcess(rig.root, 'diff', '--', 'a.yaml', '--output=x');
  assert.equal(dashed.exitCode, 2);
});
