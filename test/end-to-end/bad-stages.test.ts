import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { RunRecord } from '../../src/execute/run-record.ts';
import type { RunEvent } from '../../src/report/run-event.ts';
import { checkAll, type BadInput } from '../support/bad-input.ts';
import { createRig, libraryUrl, type Rig } from '../support/rig.ts';

const PIPELINE = 'name: p\nstages:\n  own:\n    kind: ./own.mjs\n';

/** A stage kind of the user's own whose `run` is the given source text. */
function kindWith(body: string): string {
  return `import { writeFile } from 'node:fs/promises';
import { defineStage, z } from '${libraryUrl()}';
export default defineStage({
  kind: 'own', version: 1, description: 'A test.', parameters: z.strictObject({}),
  inputs: {}, outputs: { out: { kind: 'file', description: 'A file.' } },
  runtimes: [], cache: 'content', scheduling: 'parallel', defaultCpuCount: 1,
  isolation: 'in-process',
  async run({ outputs }) { ${body} },
});
`;
}

function inProcessOfItsOwn(source: string): string {
  return source.replace("isolation: 'in-process'", "isolation: 'process'");
}

const WORKS = kindWith("await writeFile(outputs.out, 'done');");

function ownKind(name: string, source: string, says: string, exitCode: 1 | 2 = 1): BadInput {
  return {
    name,
    spoil: async (rig) => {
      await rig.write('own.mjs', source);
      await rig.write('p.yaml', PIPELINE);
    },
    exitCode,
    says,
  };
}

/** The message on a module that cannot be used at all. */
function refusedKind(reason: string): string {
  return `p.yaml:4:11 error pipeline/invalid-kind
  stage "own": ${reason}
  4 |     kind: ./own.mjs
    |           ~~~~~~~~~`;
}

checkAll('bad stage kinds', [
  {
    ...ownKind(
      'it throws a text',
      kindWith("throw 'just a text';"),
      `failed      own  the stage threw something that is no Error: just a text (stage/unexpected)
  hint: throw an Error, which tells in the log where it comes from`,
    ),
    mend: (rig) => rig.write('own.mjs', WORKS),
  },
  ownKind(
    'it makes a mistake',
    kindWith('null.x;'),
    `failed      own  TypeError: Cannot read properties of null (reading 'x') (stage/unexpected)
  hint: the stack trace is in the log`,
  ),
  {
    ...ownKind(
      'it throws where nobody waits',
      kindWith("setTimeout(() => { throw new Error('late'); }, 1); await new Promise(() => {});"),
      `error stage/uncaught: ROOT/own.mjs threw where nothing could catch it: Error: late
hint: await every promise in run, and catch what timers and listeners throw; DRQ_DEBUG=1 shows the stack`,
    ),
    mend: (rig) => rig.write('own.mjs', WORKS),
  },
  {
    ...ownKind(
      'it waits for what never comes',
      kindWith('await new Promise(() => {});'),
      `failed      own  run waits for what never comes: nothing else is left to do in this process (stage/never-ends)
  hint: settle every promise that run awaits`,
    ),
    mend: (rig) => rig.write('own.mjs', WORKS),
  },
  {
    ...ownKind(
      'it waits for what never comes in a process of its own',
      inProcessOfItsOwn(kindWith('await new Promise(() => {});')),
      `failed      own  run waits for what never comes: nothing else is left to do in this process (stage/never-ends)
  hint: settle every promise that run awaits`,
    ),
    mend: (rig) => rig.write('own.mjs', inProcessOfItsOwn(WORKS)),
  },
  {
    ...ownKind(
      'it ends the process',
      kindWith('process.exit(3);'), // 3 would be a comparison that broke its bound
      `error stage/process-exit: the process was ended while stage own ran in it
hint: a stage must not call process.exit; throw an Error to fail`,
    ),
    mend: (rig) => rig.write('own.mjs', WORKS),
  },
  ownKind(
    'it ends the process while it is loaded',
    `process.exit(0);\n${WORKS}`,
    `error run/unfinished: the process ended before the command did: it was loading ROOT/own.mjs
hint: a stage kind of your own must neither call process.exit nor wait for what never comes`,
  ),
  ownKind(
    'it waits for what never comes while it is loaded',
    `await new Promise(() => {});\n${WORKS}`,
    `error run/unfinished: the process ended before the command did: it was loading ROOT/own.mjs
hint: a stage kind of your own must neither call process.exit nor wait for what never comes`,
  ),
  ownKind(
    'it writes no output',
    kindWith(''),
    `failed      own  the stage ended without writing its output "out" (a file of kind file) (stage/missing-output)
  hint: it was expected at ROOT/artifacts/attempts/RUN/own/outputs/out`,
  ),
  {
    ...ownKind(
      'a syntax error',
      'export default {{',
      refusedKind(
        "it cannot be loaded: SyntaxError: Unexpected token '{' (`node --check own.mjs` shows where)",
      ),
      2,
    ),
    mend: (rig) => rig.write('own.mjs', WORKS),
  },
  ownKind(
    'no default export',
    'export const own = 1;',
    refusedKind('it has no default export; export default defineStage({ … })'),
    2,
  ),
]);

async function writeCommand(rig: Rig, program: string, ...parts: string[]): Promise<void> {
  await rig.write(
    'p.yaml',
    `name: p
stages:
  own:
    kind: command
    parameters: { program: ${program}, arguments: ${JSON.stringify(parts)} }
    outputs: { out: { kind: file, path: out.txt } }
`,
  );
}

checkAll('bad programs', [
  {
    name: 'it does not exist',
    spoil: (rig) => writeCommand(rig, 'no-such-program'),
    says: `failed      own  program "no-such-program" was not found (command/program-not-found)
  hint: install it, or give its absolute path; names are looked up on PATH
  last lines of the log:
    $ "no-such-program"`,
    mend: (rig) => writeCommand(rig, 'touch', 'out.txt'),
  },
  {
    name: 'it fails',
    spoil: (rig) => writeCommand(rig, 'sh', '-c', 'echo working; echo broken >&2; exit 3'),
    says: `failed      own  program "sh" ended with exit code 3, expected 0; the last of stderr: (command/failed)
    broken
  hint: its whole output is in the stage's log
  last lines of the log:
    $ "sh" "-c" "echo working; echo broken >&2; exit 3"
    working`,
  },
  {
    name: 'it writes nothing',
    spoil: (rig) => writeCommand(rig, "'true'"),
    says: `failed      own  the program ended well, but output "out" is missing: the program wrote no "out.txt" into its working folder (command/missing-output)
  hint: compare what the program writes with the outputs of the stage
  last lines of the log:
    $ "true"`,
  },
]);

test('a second Ctrl-C ends a run that does not stop, at once and by the signal itself', async (context) => {
  const rig = await createRig(context);
  await rig.write('own.mjs', kindWith('setInterval(() => {}, 1000); await new Promise(() => {});'));
  await rig.write('p.yaml', PIPELINE);
  const child = rig.start('run', 'p.yaml');
  for await (const line of child.iterable({ from: 'stderr' })) {
    if (line.startsWith('run ')) child.kill('SIGINT');
    if (!line.startsWith('stopping')) continue;
    await delay(400); // sooner it would be the same Ctrl-C, passed on by npm
    child.kill('SIGINT');
  }
  assert.equal((await child).signal, 'SIGINT'); // the shell makes 130 of it
  await rig.write('own.mjs', WORKS);
  const { exitCode, stderr } = await rig.drq('run', 'p.yaml');
  assert.equal(exitCode, 0, stderr);
});

test('a run that waits for what never comes is recorded as failed and holds no lock', async (context) => {
  const rig = await createRig(context);
  await rig.write('own.mjs', kindWith('await new Promise(() => {});'));
  await rig.write('p.yaml', PIPELINE);
  assert.equal((await rig.drq('run', 'p.yaml')).exitCode, 1);
  assert.deepEqual(await readdir(rig.path('artifacts/locks')), []);
  const [record = ''] = await readdir(rig.path('experiments/p/runs'));
  const { failed, stages } = JSON.parse(
    await rig.read(`experiments/p/runs/${record}`),
  ) as RunRecord;
  assert.equal(failed, 1);
  assert.equal(stages[0]?.error?.code, 'stage/never-ends');
});

test('stages and outputs may be named like what every object inherits', async (context) => {
  const rig = await createRig(context);
  const names = ['constructor', 'valueOf', 'toString', 'hasOwnProperty'];
  const stages = names.map((name, index) => {
    const before = names[index - 1];
    const inputs = before === undefined ? '' : `inputs: { valueOf: ${before}.constructor }, `;
    return `  ${name}: { kind: command, ${inputs}parameters: { program: touch, arguments: [out.txt] }, outputs: { constructor: { kind: file, path: out.txt } } }\n`;
  });
  await rig.write('p.yaml', `name: p\nstages:\n${stages.join('')}`);
  for (const command of ['plan', 'run', 'run', 'status', 'plan']) {
    const { exitCode, stderr } = await rig.drq(command, 'p.yaml');
    assert.equal(exitCode, 0, `${command}: ${stderr}`);
  }
  const why = await rig.drq('why', 'p.yaml', 'toString');
  assert.match(why.stdout, /^toString: up to date$/m);
});

test('the events of a run end with what ended it, whatever that is', async (context) => {
  for (const [body, code] of [
    [
      "setTimeout(() => { throw new Error('late'); }, 1); await new Promise(() => {});",
      'stage/uncaught',
    ],
    ['process.exit(0);', 'stage/process-exit'],
    [null, 'store/in-the-way'],
  ] as const) {
    const rig = await createRig(context);
    await rig.write('own.mjs', body === null ? WORKS : kindWith(body));
    await rig.write('p.yaml', PIPELINE);
    if (body === null) await rig.write('experiments', 'a file in the way');
    const { exitCode, stdout } = await rig.drq('run', 'p.yaml', '--json');
    assert.equal(exitCode, 1);
    const events = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as RunEvent);
    const last = events.at(-1);
    assert.ok(last?.type === 'run-finished');
    assert.equal(last.error?.code, code);
    assert.equal(events.filter(({ type }) => type === 'run-finished').length, 1);
  }
});

test('what a stage prints does not come between the events of a run', async (context) => {
  const rig = await createRig(context);
  const prints = "console.log('by console'); process.stdout.write('directly\\n');";
  await rig.write(
    'own.mjs',
    `console.log('while loading');\n${kindWith(`${prints} await writeFile(outputs.out, 'done');`)}`,
  );
  await rig.write('p.yaml', PIPELINE);
  const { exitCode, stdout, stderr } = await rig.drq('run', 'p.yaml', '--json');
  assert.equal(exitCode, 0);
  for (const line of stdout.trimEnd().split('\n'))
    assert.doesNotThrow(() => JSON.parse(line), line);
  assert.match(stdout, /"type":"run-finished"/);
  assert.equal(stderr, 'while loading\nby console\ndirectly\n');
});
