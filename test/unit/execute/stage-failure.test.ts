import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { DataError } from '../../../src/diagnostics/errors.ts';
import { describeFailure } from '../../../src/execute/stage-failure.ts';

async function logWith(context: TestContext, text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'drq-test-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'log.txt'), text);
  return join(folder, 'log.txt');
}

test('the end of the log repeats neither the message nor a stack', async (context) => {
  const logPath = await logWith(
    context,
    `one\n  2: broken file\nError: oh\n    at read (file:///x.js:3:4)\n    at async file:///y.js:1:2\nlast\n`,
  );
  const failure = await describeFailure(
    new DataError({ code: 'data/x', message: 'two:\n  2: broken file' }),
    logPath,
  );
  assert.deepEqual(failure, {
    code: 'data/x',
    message: 'two:\n  2: broken file',
    logTail: ['one', 'Error: oh', 'last'],
  });
  assert.match(await readFile(logPath, 'utf8'), /last\ndata\/x: two:\n {2}2: broken file\n$/);
});

test('what is no Error promises no stack trace', async (context) => {
  const logPath = await logWith(context, '');
  const failure = await describeFailure('just text', logPath);
  assert.equal(failure.message, 'the stage threw something that is no Error: just text');
  assert.match(failure.hint ?? '', /^throw an Error/);
});

test('a full disk is known by its message, all that is left of an error from a worker', async (context) => {
  const logPath = await logWith(context, '');
  const copied = new Error("ENOSPC: no space left on device, write '/data/x.bin'");
  const failure = await describeFailure(copied, logPath);
  assert.equal(failure.code, 'store/disk-full');
  assert.match(failure.message, /^the disk is full: \/data\/x\.bin cannot be written/);
});
