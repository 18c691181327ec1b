import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { InterruptedError } from '../../../src/diagnostics/errors.ts';
import { acquireLock, waitingText, type LockOwner } from '../../../src/store/stage-lock.ts';
import { temporaryProject } from '../../support/in-memory-pipeline.ts';

const signal = new AbortController().signal;

test('the second to come waits, is told who holds the lock, and gets it afterwards', async (t) => {
  const path = join(await temporaryProject(t), 'locks/a.lock');
  const owners: LockOwner[] = [];
  const request = {
    path,
    what: 'stage a',
    onWait: (owner: LockOwner) => void owners.push(owner),
    signal,
  };
  const first = await acquireLock(request);
  assert.equal(first.waited, false);
  const pending = acquireLock(request);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(owners.length, 1);
  assert.deepEqual([owners[0]?.pid, owners[0]?.what], [process.pid, 'stage a']);
  await first.release();
  const second = await pending;
  assert.equal(second.waited, true);
  await second.release();
  assert.deepEqual(await readdir(join(path, '..')), []);
});

test('the lock of a dead process on this host is taken over; one of another host is not', async (t) => {
  const folder = await temporaryProject(t);
  const dead = spawnSync(process.execPath, ['-e', '0']);
  const owner = {
    token: 't',
    host: hostname(),
    pid: dead.pid,
    processStart: null,
    since: '',
    what: '',
  };
  const path = join(folder, 'a.lock');
  const fail = (): void => assert.fail('must not wait');
  await writeFile(path, JSON.stringify(owner));
  await (await acquireLock({ path, what: '', onWait: fail, signal })).release();
  // The process id lives on in another process, as its start time tells (Linux only).
  if (process.platform === 'linux') {
    await writeFile(path, JSON.stringify({ ...owner, pid: process.pid, processStart: '1' }));
    await (await acquireLock({ path, what: '', onWait: fail, signal })).release();
  }
  await writeFile(path, ''); // what a power cut may leave
  await (await acquireLock({ path, what: '', onWait: fail, signal })).release();

  await writeFile(path, JSON.stringify({ ...owner, host: 'elsewhere' }));
  const abort = new AbortController();
  await assert.rejects(
    acquireLock({ path, what: '', onWait: () => abort.abort(), signal: abort.signal }),
    InterruptedError,
  );
});

test('who waits for a process of another host is told which file to delete when that is gone', () => {
  const owner: LockOwner = {
    token: 't',
    host: hostname(),
    pid: 7,
    processStart: null,
    since: 'noon',
    what: 'stage a',
  };
  const text = waitingText(owner, '/p/a.lock', 'runs the same');
  assert.equal(text, `process 7 on ${hostname()} runs the same (stage a, since noon)`);
  assert.equal(
    waitingText({ ...owner, host: 'elsewhere' }, '/p/a.lock', 'runs the same'),
    'process 7 on elsewhere runs the same (stage a, since noon); if it no longer runs there, delete /p/a.lock',
  );
});
