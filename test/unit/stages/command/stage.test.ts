import assert from 'node:assert/strict';
import { mkdir, readFile, readdir, realpath, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { InterruptedError } from '../../../../src/diagnostics/errors.ts';
import { command } from '../../../../stages/command/stage.ts';
import { runStage, temporaryFolder, type StageRunOptions } from '../../../support/stage-context.ts';

/** A Node script as the program: the same on every system. */
function runScript(
  t: TestContext,
  script: string,
  options: Partial<StageRunOptions> & {
    readonly programArguments?: readonly string[];
    readonly environment?: Readonly<Record<string, string>>;
    readonly timeoutSeconds?: number;
  } = {},
) {
  const { programArguments = [], environment = {}, timeoutSeconds, ...others } = options;
  return runStage(t, command, {
    inputs: {},
    ...others,
    parameters: {
      program: process.execPath,
      arguments: ['--eval', script, '--', ...programArguments],
      environment,
      ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
    },
  });
}

const FILE = { kind: 'file' } as const;

test('a program reads its input and writes its output where it is told', async (t) => {
  const input = join(await temporaryFolder(t), 'in "put".txt');
  await writeFile(input, 'abc');
  const run = await runScript(
    t,
    `const [, from, to] = process.argv; const fs = require('fs');
     fs.writeFileSync(to.slice('--to='.length), fs.readFileSync(from, 'utf8').toUpperCase());`,
    {
      inputs: { text: { kind: 'file', path: input } },
      outputs: { text: FILE },
      programArguments: ['${inputs.text}', '--to=${outputs.text}'],
    },
  );
  assert.equal(await readFile(run.outputs['text'] ?? '', 'utf8'), 'ABC');
});

test('arguments reach the program as they are, without a shell', async (t) => {
  const awkward = ['$(touch injected)', '; touch injected', 'a b', '', '*', '${HOME}', '`id`', 'ü'];
  const run = await runScript(t, `console.log(JSON.stringify(process.argv.slice(1)))`, {
    programArguments: awkward,
  });
  assert.deepEqual(JSON.parse(run.logLines.at(-1) ?? ''), awkward);
  assert.deepEqual(await readdir(run.scratchPath), []);
});

test('only the declared environment and what programs need is passed on', async (t) => {
  process.env['DRQ_TEST_SECRET'] = 'secret';
  t.after(() => delete process.env['DRQ_TEST_SECRET']);
  const run = await runScript(t, `console.log(JSON.stringify(process.env))`, {
    environment: { PLACE: 'at ${outputs.x}' },
    outputs: { x: { kind: 'folder', path: 'unused' } },
  }).catch((error: unknown) => error);
  assert.match(String(run), /output "x" is missing/);
  const seen = await runScript(t, `console.log(JSON.stringify(process.env))`, {
    environment: { COLOUR: 'red' },
  });
  const environment = JSON.parse(seen.logLines.at(-1) ?? '') as Record<string, string>;
  assert.equal(environment['COLOUR'], 'red');
  assert.equal(environment['DRQ_TEST_SECRET'], undefined);
  assert.equal(environment['PATH'], process.env['PATH']);
});

test('declared paths below the working folder are moved to the outputs', async (t) => {
  const run = await runScript(
    t,
    `const fs = require('fs'); fs.mkdirSync('made/deep', { recursive: true });
     fs.writeFileSync('made/deep/file', 'deep'); fs.writeFileSync('one.txt', 'one');`,
    {
      outputs: {
        folder: { kind: 'folder', path: 'made' },
        file: { kind: 'file', path: './one.txt' },
      },
    },
  );
  assert.equal(await readFile(join(run.outputs['folder'] ?? '', 'deep/file'), 'utf8'), 'deep');
  assert.equal(await readFile(run.outputs['file'] ?? '', 'utf8'), 'one');
});

test('a missing output, an empty folder and the wrong form are errors', async (t) => {
  const cases = [
    [`0`, { kind: 'file', path: 'x' }, /wrote no "x"/],
    [`require('fs').mkdirSync('x')`, { kind: 'folder', path: 'x' }, /is empty/],
    [
      `require('fs').mkdirSync('x')`,
      { kind: 'file', path: 'x' },
      /"x" is a folder, expected a file/,
    ],
  ] as const;
  for (const [script, output, message] of cases) {
    await assert.rejects(runScript(t, script, { outputs: { out: output } }), {
      code: 'command/missing-output',
      message,
    });
  }
  await assert.rejects(runScript(t, cases[2][0], { outputs: { out: cases[2][1] } }), {
    hint: 'for a folder write `path: x/` or `kind: folder`',
  });
  await assert.rejects(
    runScript(t, `0`, { outputs: { out: FILE }, programArguments: ['${outputs.out}'] }),
    { code: 'command/missing-output', message: /nothing was written to/ },
  );
});

test('outputs never leave the working folder, not by a link either', async (t) => {
  const outside = await temporaryFolder(t);
  await writeFile(join(outside, 'secret'), 'secret');
  for (const path of ['../x', '/etc/hostname', 'a/../../x']) {
    await assert.rejects(runScript(t, `0`, { outputs: { out: { kind: 'file', path } } }), {
      code: 'command/output-outside',
    });
  }
  const link = `require('fs').symlinkSync(${JSON.stringify(join(outside, 'secret'))}, 'x')`;
  await assert.rejects(runScript(t, link, { outputs: { out: { kind: 'file', path: 'x' } } }), {
    code: 'command/output-outside',
    message: `the path "x" of output "out" is a link to ${join(await realpath(outside), 'secret')}, outside the program's working folder`,
    hint: 'let the program copy the file or folder to that place instead of linking to it',
  });
  const dangling = `require('fs').symlinkSync('/nowhere/at-all', 'x')`;
  await assert.rejects(runScript(t, dangling, { outputs: { out: { kind: 'file', path: 'x' } } }), {
    code: 'command/missing-output',
    message: /"x" is a link to \/nowhere\/at-all, where there is nothing$/,
  });
});

test('an output that the program cannot know of stops the stage before it runs', async (t) => {
  await assert.rejects(runScript(t, `process.exit(9)`, { outputs: { out: FILE } }), {
    code: 'command/unplaced-output',
  });
});

test('a placeholder without an input names those that exist', async (t) => {
  const path = await temporaryFolder(t);
  await assert.rejects(
    runScript(t, `0`, {
      inputs: { images: { kind: 'folder', path } },
      programArguments: ['${inputs.image}'],
    }),
    {
      code: 'command/unknown-placeholder',
      message: '"${inputs.image}" names no input of this stage; it has images',
    },
  );
});

test('a failing program shows the last of its stderr', async (t) => {
  await assert.rejects(
    runScript(t, `for (let i = 0; i < 30; i++) console.error('line ' + i); process.exit(3)`),
    (error: Error & { code?: string }) => {
      assert.equal(error.code, 'command/failed');
      assert.match(error.message, /exit code 3, expected 0/);
      assert.match(error.message, /line 20\n[^]*line 29$/);
      assert.doesNotMatch(error.message, /line 19/);
      return true;
    },
  );
});

test('a program that is missing, may not run or is killed says so', async (t) => {
  const run = (program: string) => runStage(t, command, { inputs: {}, parameters: { program } });
  await assert.rejects(run('no-such-program-anywhere'), { code: 'command/program-not-found' });
  const text = join(await temporaryFolder(t), 'text');
  await writeFile(text, 'not a program', { mode: 0o644 });
  await assert.rejects(run(text), { code: 'command/not-executable' });
  await assert.rejects(runScript(t, `process.kill(process.pid, 'SIGKILL')`), {
    code: 'command/killed',
    message: /killed by SIGKILL/,
  });
});

/** The program starts a child, tells its id, and waits for ever. */
const WITH_CHILD = `
  const { spawn } = require('child_process');
  const child = spawn(process.execPath, ['--eval', 'setInterval(() => {}, 1000)']);
  require('fs').writeFileSync(process.argv[1], String(child.pid));
  setInterval(() => {}, 1000);`;

async function assertGone(pidFile: string): Promise<void> {
  const pid = Number(await readFile(pidFile, 'utf8'));
  assert.ok(pid > 1);
  for (let attempt = 0; attempt < 100; attempt += 1) {
    try {
      process.kill(pid, 0);
      const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
      if (state.includes(') Z ')) return; // dead, only not yet collected by init
    } catch {
      return; // ESRCH: what we want
    }
    await wait(20);
  }
  assert.fail(`process ${pid} still runs`);
}

test('a timeout ends the program and its children', async (t) => {
  const pidFile = join(await temporaryFolder(t), 'pid');
  await assert.rejects(
    runScript(t, WITH_CHILD, { programArguments: [pidFile], timeoutSeconds: 0.5 }),
    { code: 'command/timeout', message: /did not end within 0.5 s/ },
  );
  await assertGone(pidFile);
});

test('an abort ends the program and its children', async (t) => {
  const pidFile = join(await temporaryFolder(t), 'pid');
  await assert.rejects(
    runScript(t, WITH_CHILD, { programArguments: [pidFile], signal: AbortSignal.timeout(500) }),
    InterruptedError,
  );
  await assertGone(pidFile);
});

test('what a program leaves running is ended, and not waited for', async (t) => {
  const pidFile = join(await temporaryFolder(t), 'pid');
  const script = `
    const { spawn } = require('child_process');
    const child = spawn(process.execPath, ['--eval', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' });
    require('fs').writeFileSync(process.argv[1], String(child.pid));
    child.unref();`;
  await runScript(t, script, { programArguments: [pidFile] });
  await assertGone(pidFile);
});

test('a relative program path is refused with the remedy', async (t) => {
  const parsed = command.parameters.safeParse({ program: './tools/convert.sh' });
  assert.match(parsed.error?.message ?? '', /declare it as an input/);
  const folder = await temporaryFolder(t);
  const tool = join(folder, 'tool.sh');
  await mkdir(folder, { recursive: true });
  await writeFile(tool, '#!/bin/sh\necho "ran $1"\n', { mode: 0o755 });
  const run = await runStage(t, command, {
    inputs: { tool: { kind: 'file', path: tool } },
    parameters: { program: '${inputs.tool}', arguments: ['well'] },
  });
  assert.equal(run.logLines.at(-1), 'ran well');
});
