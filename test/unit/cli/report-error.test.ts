import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { reportError } from '../../../src/cli/report-error.ts';
import {
  InternalError,
  InterruptedError,
  PipelineError,
  StoreError,
  UsageError,
} from '../../../src/diagnostics/errors.ts';

async function report(error: unknown): Promise<{ exitCode: number; text: string }> {
  const lines: string[] = [];
  const exitCode = await reportError(error, (text) => lines.push(text));
  return { exitCode, text: lines.join('\n') };
}

test('our own errors: code, message, hint, and the exit code of their class', async () => {
  assert.deepEqual(
    await report(new UsageError({ code: 'usage/x', message: 'wrong', hint: 'do it right' })),
    { exitCode: 2, text: 'error usage/x: wrong\nhint: do it right' },
  );
  assert.deepEqual(await report(new StoreError({ code: 'store/x', message: 'gone' })), {
    exitCode: 1,
    text: 'error store/x: gone',
  });
  assert.equal((await report(new InterruptedError())).exitCode, 130);
});

test('a disk without space, or a path without permission, is no bug of ours', async () => {
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), {
    code: 'ENOSPC',
  });
  const { exitCode, text } = await report(full);
  assert.equal(exitCode, 1);
  assert.match(text, /^error system\/disk-full: ENOSPC.*\nhint: free some space/);
  assert.ok(!text.includes('    at '));
});

test('anything else is a bug: exit 70, a request to report it, and the stack with its causes', async () => {
  const cause = new RangeError('the cause');
  for (const bug of [new InternalError('lost', cause), new TypeError('lost', { cause })]) {
    const { exitCode, text } = await report(bug);
    assert.equal(exitCode, 70);
    assert.match(text, /^error internal\/bug: lost\nhint: this is a bug in drq/);
    assert.match(text, /\n {4}at /);
    assert.match(text, /caused by: RangeError: the cause/);
  }
  assert.match((await report('a text')).text, /something that is no Error was thrown: a text/);
});

test('what a stage kind of the user throws where nobody waits for it is no bug of ours', async () => {
  const late = new Error('late');
  late.stack = `Error: late\n    at Timeout._onTimeout (file:///p/my-stage.js?digest=${'a'.repeat(64)}:2:3)`;
  assert.deepEqual(await report(late), {
    exitCode: 1,
    text: 'error stage/uncaught: /p/my-stage.js threw where nothing could catch it: Error: late\nhint: await every promise in run, and catch what timers and listeners throw; DRQ_DEBUG=1 shows the stack',
  });
});

test('so is what a module that such a kind imports throws, but not what drq and its packages throw', async () => {
  const frames = (...places: string[]): string =>
    ['Error: late', ...places.map((place) => `    at ${place}`)].join('\n');
  const late = new Error('late');
  late.stack = frames('listOnTimeout (node:internal/timers:1:2)', 'f (file:///p/helper.js:2:3)');
  assert.match((await report(late)).text, /^error stage\/uncaught: \/p\/helper\.js threw/);
  late.stack = frames('new Promise (<anonymous>)', 'async /p/my helper.cjs:2:3');
  assert.match((await report(late)).text, /^error stage\/uncaught: \/p\/my helper\.cjs threw/);
  const own = new URL('../../../src/cli/report-error.js', import.meta.url).href;
  late.stack = frames(`f (${own}:1:2)`, 'g (/p/node_modules/x/y.js:1:2)', 'h (node:fs:1:2)');
  assert.equal((await report(late)).exitCode, 70);
});

test('a wrong pipeline: every problem with its excerpt; a file that has gone, or a folder, is no new error', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'drq-test-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, 'p.yaml');
  await writeFile(file, 'name: a\nvars: b\n');
  const error = new PipelineError([
    { code: 'pipeline/one', message: 'first', range: { file, start: 8, end: 12 } },
    { code: 'pipeline/two', message: 'second', hint: 'look' },
  ]);
  const { exitCode, text } = await report(error);
  assert.equal(exitCode, 2);
  assert.match(text, /p\.yaml:2:1 error pipeline\/one\n {2}first\n {2}2 \| vars: b\n {4}\| ~~~~/);
  assert.match(text, /error pipeline\/two\n {2}second\n {2}hint: look/);
  await rm(file);
  assert.match((await report(error)).text, /error pipeline\/one\n {2}first/);
  await mkdir(file);
  assert.match((await report(error)).text, /error pipeline\/one\n {2}first/);
});
