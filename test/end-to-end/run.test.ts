import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { test } from 'node:test';
import { createRig, type Rig } from '../support/rig.ts';
import { PIPELINE, writeTinyPipeline } from '../support/tiny-pipeline.ts';

async function tinyRig(context: Parameters<typeof createRig>[0]): Promise<Rig> {
  const rig = await createRig(context);
  await writeTinyPipeline(rig);
  return rig;
}

/** Times and run ids differ from run to run; folders from test to test. */
function steady(text: string, rig: Rig): string {
  return text
    .replaceAll(rig.root, 'ROOT')
    .replace(/\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-[0-9a-f]{6}/g, 'RUN')
    .replace(/\b[\d.]+ m?s\b/g, 'TIME');
}

const TABLE = `┌───────┬───────────┬────────────────────┬─────────┬───────────────────┐
│ model │ precision │     top-1 % [95 %] │ size MB │ published top-1 % │
├───────┼───────────┼────────────────────┼─────────┼───────────────────┤
│ tiny  │ fp32      │ 30.00 [10.0, 90.0] │    0.00 │             50.00 │
├───────┼───────────┼────────────────────┼─────────┼───────────────────┤
│ tiny  │ int8      │                    │    0.00 │                   │
└───────┴───────────┴────────────────────┴─────────┴───────────────────┘
  published figures: nobody
  tiny fp32: made up
  tiny int8: a sum
  1 more column in the CSV and the Markdown
`;

test('from a file to the table; a second run does nothing; a parameter runs what it reaches', async (context) => {
  const rig = await tinyRig(context);
  const first = await rig.drq('run', 'tiny.yaml', '--jobs', '1');
  assert.deepEqual(
    { ...first, stderr: steady(first.stderr, rig) },
    {
      exitCode: 0,
      stdout: TABLE,
      stderr: `run         count  never run
done        count  TIME
run         other  never run
done        other  TIME
run         join  never run
done        join  TIME
3 run in TIME
table: experiments/tiny/comparison.csv
`,
    },
  );
  const written = ['comparison.csv', 'comparison.md', 'lock.yaml'];
  const times = async (): Promise<number[]> =>
    Promise.all(
      written.map(async (name) => (await stat(rig.path('experiments/tiny', name))).mtimeMs),
    );
  const before = await times();

  await rig.write('tiny.yaml', `# a comment\n${PIPELINE.replace('vars:', '\nvars:')}`);
  const second = await rig.drq('run', 'tiny.yaml');
  assert.deepEqual(
    { ...second, stderr: steady(second.stderr, rig) },
    {
      exitCode: 0,
      stdout: TABLE,
      stderr: `up to date  count
up to date  other
up to date  join
3 up to date in TIME
everything is up to date (3 stages)
table: experiments/tiny/comparison.csv
`,
    },
  );
  assert.deepEqual(await times(), before, 'unchanged files are not written again');

  const third = await rig.drq('run', 'tiny.yaml', '--set', 'vars.factor=3', '--json');
  assert.equal(third.exitCode, 0);
  assert.equal(third.stderr, '');
  const events = third.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.deepEqual(
    events
      .filter(({ type }) => type === 'stage-started')
      .map(({ stageId, action, reason }) => [stageId, action, reason])
      .sort(),
    [
      ['count', 'run', 'parameters.factor 2 → 3'],
      ['join', 'run', 'input a changed'],
      ['other', 'up-to-date', ''],
    ],
  );
  const { durationMs, ...last } = events.at(-1) ?? {};
  assert.deepEqual(last, {
    type: 'run-finished',
    ran: 2,
    restored: 0,
    upToDate: 1,
    failed: 0,
    skipped: 0,
  });
  assert.equal(typeof durationMs, 'number');

  const back = await rig.drq('run', 'tiny.yaml', 'count');
  assert.match(back.stderr, /^restore {5}count {2}parameters\.factor 3 → 2$/m);
  // `join` was not asked for: its figures belong to the other factor and are not shown.
  assert.match(await rig.read('experiments/tiny/comparison.csv'), /join has not run since/);
  const shown = await rig.drq('table', 'tiny.yaml', '--format', 'json');
  assert.equal(shown.exitCode, 0);
  assert.match(
    shown.stderr,
    /^note: figures of earlier runs are shown of what changed since: join$/m,
  );
  assert.match(shown.stdout, /tiny int8: figures of an earlier run/);
});

test('a table without any figure is neither shown nor written, and what never ran is named', async (context) => {
  const rig = await tinyRig(context);
  await rig.write('part.yaml', PIPELINE.replace('[count.metrics]', '[join.metrics]'));
  const part = await rig.drq('run', 'part.yaml', 'count');
  assert.deepEqual([part.exitCode, part.stdout], [0, '']);
  assert.match(
    part.stderr,
    /^note: join has not been run; table comparison has no figures and is not written$/m,
  );
  assert.equal(existsSync(rig.path('experiments/tiny/comparison.csv')), false);

  const some = await rig.drq('run', 'tiny.yaml', 'count');
  assert.match(some.stdout, /^ {2}tiny int8: join has not been run$/m);
  const table = await rig.drq('table', 'tiny.yaml');
  assert.equal(table.stdout, some.stdout);
  assert.equal(table.stderr, 'note: not run yet: other, join\n');

  const failed = await rig.drq(
    ...['run', 'tiny.yaml', '--keep-going', '--set', 'stages.other.parameters.mode=fail'],
  );
  assert.match(failed.stdout, /^ {2}tiny int8: join has not been run$/m);
});

test('a dry run and a plan write nothing', async (context) => {
  const rig = await tinyRig(context);
  const expected = `run    count  never run
run    other  never run
waits  join   waits for count, other

3 stages: 2 run, 1 waits
`;
  assert.deepEqual(await rig.drq('run', 'tiny.yaml', '--dry-run'), {
    exitCode: 0,
    stdout: expected,
    stderr: '',
  });
  assert.equal((await rig.drq('plan', 'tiny.yaml')).stdout, expected);
  assert.equal(existsSync(rig.path('experiments')), false);
});

test('a failing stage: exit 1, one message with the place of its log, no stack trace', async (context) => {
  const rig = await tinyRig(context);
  const failed = await rig.drq(
    ...['run', 'tiny.yaml', '--jobs', '1', '--set', 'stages.count.parameters.mode=fail'],
  );
  assert.deepEqual(
    { ...failed, stderr: steady(failed.stderr, rig) },
    {
      exitCode: 1,
      stdout: '',
      stderr: `run         count  never run
failed      count  no counting today (count/refused)
  hint: come back
  log:    ROOT/artifacts/attempts/RUN/count/log.txt
  folder: ROOT/artifacts/attempts/RUN/count
skipped     other  count failed
skipped     join  count failed
1 failed, 2 skipped in TIME
the tables were not written, because the run failed
`,
    },
  );
  const kept = await rig.drq(
    ...['run', 'tiny.yaml', '--keep-going', '--set', 'stages.count.parameters.mode=crash'],
  );
  assert.equal(kept.exitCode, 1);
  assert.match(kept.stderr, /count {2}TypeError: a mistake in the stage \(stage\/unexpected\)/);
  assert.match(kept.stderr, /^done {8}other/m);
  const mended = await rig.drq('run', 'tiny.yaml');
  assert.equal(mended.exitCode, 0);
  assert.equal(mended.stdout, TABLE);
});

test('a pipeline without tables speaks of none when it fails', async (context) => {
  const rig = await tinyRig(context);
  await rig.write('tiny.yaml', PIPELINE.slice(0, PIPELINE.indexOf('tables:')));
  const failed = await rig.drq('run', 'tiny.yaml', '--set', 'stages.count.parameters.mode=fail');
  assert.equal(failed.exitCode, 1);
  assert.match(failed.stderr, /no counting today/);
  assert.ok(!failed.stderr.includes('tables'));
});

test('a wrong pipeline: every problem, exit 2, nothing run', async (context) => {
  const rig = await tinyRig(context);
  await rig.write(
    'tiny.yaml',
    PIPELINE.replace('factor: 10', 'facter: 10').replace('b: other.metrics', 'b: othre.metrics'),
  );
  const wrong = await rig.drq('run', 'tiny.yaml');
  assert.equal(wrong.exitCode, 2);
  assert.equal(wrong.stdout, '');
  assert.match(wrong.stderr, /^tiny\.yaml:11:19 error pipeline\/unknown-parameter$/m);
  assert.match(wrong.stderr, /did you mean "factor"\?/);
  assert.match(wrong.stderr, /did you mean "other/);
  assert.ok(!wrong.stderr.includes('    at '), 'no stack trace');
  assert.equal(existsSync(rig.path('experiments')), false);
});

test('an unknown stage and a missing file: exit 2', async (context) => {
  const rig = await tinyRig(context);
  assert.deepEqual(await rig.drq('why', 'tiny.yaml', 'joim'), {
    exitCode: 2,
    stdout: '',
    stderr:
      'error usage/unknown-stage: pipeline tiny has no stage "joim"\nhint: did you mean "join"?\n',
  });
  const missing = await rig.drq('table', 'nowhere.yaml');
  assert.equal(missing.exitCode, 2);
  assert.match(
    missing.stderr,
    /^nowhere\.yaml error pipeline\/unreadable\n {2}there is no such file/,
  );
  assert.deepEqual(await rig.drq('table', 'tiny.yaml'), {
    exitCode: 2,
    stdout: '',
    stderr:
      'error table/not-run: pipeline tiny has not been run, so there are no figures\nhint: run `drq run tiny.yaml` first\n',
  });
});

test('an experiments folder that cannot be made: exit 1 and a message', async (context) => {
  const rig = await tinyRig(context);
  // A file in its place: permissions would not stop a test that runs as root.
  await rig.write('experiments', '');
  const refused = await rig.drq('run', 'tiny.yaml');
  assert.equal(refused.exitCode, 1);
  assert.match(refused.stderr, /^error store\/[a-z-]+: .*experiments/m);
  assert.ok(!refused.stderr.includes('    at '), 'no stack trace');
});

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  test(`${signal} stops the run: exit 130, nothing half-written, and it can be repeated`, async (context) => {
    const rig = await tinyRig(context);
    const child = rig.start(
      'run',
      'tiny.yaml',
      '--json',
      '--set',
      'stages.count.parameters.mode=wait',
    );
    for await (const line of child.iterable()) {
      if (line.includes('"stage-progress"') && line.includes('"count"')) {
        child.kill(signal);
        child.kill(signal); // as npm does, which passes on what the terminal sent to both
        break;
      }
    }
    const { exitCode, stderr } = await child;
    assert.equal(exitCode, 130);
    assert.equal(
      stderr,
      'stopping … (once more to exit at once)\nerror run/interrupted: interrupted\n',
    );
    assert.equal(existsSync(rig.path('experiments/tiny/comparison.csv')), false);
    const files = await readdir(rig.root, { recursive: true });
    assert.deepEqual(
      files.filter((name) => name.endsWith('.tmp') || name.endsWith('.lock')),
      [],
    );
    const again = await rig.drq('run', 'tiny.yaml');
    assert.equal(again.exitCode, 0);
    assert.equal(again.stdout, TABLE);
  });
}

test('a reader that goes away is no error, and the run finishes', async (context) => {
  const rig = await tinyRig(context);
  const child = rig.start('run', 'tiny.yaml', '--json');
  child.stdout.destroy();
  const { exitCode, stderr } = await child;
  assert.equal(exitCode, 0);
  assert.equal(stderr, '');
  assert.ok(existsSync(rig.path('experiments/tiny/comparison.csv')));
});

test('a stage in a process of its own', async (context) => {
  const rig = await tinyRig(context);
  const source = await rig.read('count.mjs');
  await rig.write('count.mjs', source.replace("isolation: 'in-process'", "isolation: 'process'"));
  const result = await rig.drq('run', 'tiny.yaml');
  assert.equal(result.exitCode, 0, result.stderr);
  assert.equal(result.stdout, TABLE);
  const failed = await rig.drq('run', 'tiny.yaml', '--set', 'stages.count.parameters.mode=fail');
  assert.equal(failed.exitCode, 1);
  assert.match(failed.stderr, /count {2}no counting today \(count\/refused\)/);
});

test("a stage kind of one's own finds drq by name wherever it lies, and its errors are ours", async (context) => {
  const rig = await tinyRig(context);
  for (const file of ['count.mjs', 'join.mjs']) {
    await rig.write(file, (await rig.read(file)).replace(/from '[^']*index\.js'/, "from 'drq'"));
  }
  const inProcess = await rig.drq('run', 'tiny.yaml');
  assert.equal(inProcess.exitCode, 0, inProcess.stderr);
  assert.equal(inProcess.stdout, TABLE);
  const source = await rig.read('count.mjs');
  await rig.write('count.mjs', source.replace("isolation: 'in-process'", "isolation: 'process'"));
  const apart = await rig.drq(
    ...['run', 'tiny.yaml', 'count', '--set', 'stages.count.parameters.mode=fail'],
  );
  assert.equal(apart.exitCode, 1);
  assert.match(apart.stderr, /count {2}no counting today \(count\/refused\)\n {2}hint: come back/);
});

test('external programs: a matrix of them, its cells in the table and the graph', async (context) => {
  const rig = await createRig(context);
  await rig.write('measure.mjs', MEASURE);
  await rig.write('sweep.yaml', SWEEP);
  const { exitCode, stdout, stderr } = await rig.drq('run', 'sweep.yaml');
  assert.equal(exitCode, 0, stderr);
  assert.equal(
    stdout,
    `┌───────┬───────────┬───────┬────────┐
│ model │ precision │ width │ images │
├───────┼───────────┼───────┼────────┤
│ net   │ fp32      │ 1     │     10 │
├───────┼───────────┼───────┼────────┤
│ net   │ fp32      │ 2     │     20 │
└───────┴───────────┴───────┴────────┘
`,
  );
  assert.match(
    await rig.read('experiments/sweep/comparison.md'),
    /^\| net {3}\| fp32 {6}\| 2 {5}\| {5}20 \|$/m,
  );
  const graph = await rig.drq('graph', 'sweep.yaml');
  assert.match(graph.stdout, /\["measure<br\/>width = 2<br\/>\(command\)"\]/);
});

const MEASURE = `
import { writeFileSync } from 'node:fs';
const [output, flag] = process.argv.slice(2);
const width = Number(flag.replace('--width=', ''));
const values = [{ name: 'imageCount', value: width * 10, unit: 'images', direction: 'neutral' }];
writeFileSync(output, JSON.stringify({ format: 1, values, notes: [], details: {} }));
`;

const SWEEP = `name: sweep
stages:
  measure:
    kind: command
    inputs: { script: { path: measure.mjs } }
    matrix: { width: [1, 2] }
    outputs: { metrics: { path: out.json, kind: metrics } }
    parameters:
      program: ${process.execPath}
      arguments: ['\${inputs.script}', '\${outputs.metrics}', '--width=\${matrix.width}']
tables:
  comparison:
    rows:
      - labels: { model: net, precision: fp32 }
        from: [measure.metrics]
`;
