import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, realpath, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { photographFiles, requireWritable } from '../../../src/quantization/require-writable.ts';
import { temporaryFolder } from '../../support/stage-context.ts';

test('what is there and no regular file is refused', async (t) => {
  const folder = await temporaryFolder(t);
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  await symlink(pipe, join(folder, 'link'));
  const socket = join(folder, 'socket');
  const server = createServer().listen(socket);
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => server.close());
  const cases = [
    [pipe, 'a pipe'],
    [join(folder, 'link'), 'a pipe'],
    [socket, 'a socket'],
    ['/dev/null', 'a device'],
  ] as const;
  for (const [path, kind] of cases) {
    await assert.rejects(requireWritable({ what: 'output', path }, []), {
      name: 'UsageError',
      code: 'quantize/not-a-file',
      message: `the output ${path} is ${kind}, not a regular file`,
    });
  }
});

test('a link is followed, also to what is not there yet', async (t) => {
  const folder = await realpath(await temporaryFolder(t));
  await mkdir(join(folder, 'a'));
  await mkdir(join(folder, 'b'));
  await writeFile(join(folder, 'b', 'there'), 'kept');
  await symlink('../b/there', join(folder, 'a', 'there'));
  await symlink('../b/new', join(folder, 'a', 'new'));
  await symlink('a/new', join(folder, 'twice'));
  await symlink('b', join(folder, 'folder'));
  const written = (path: string) =>
    requireWritable({ what: 'report', path: join(folder, path) }, []);
  assert.equal(await written('a/there'), join(folder, 'b', 'there'));
  assert.equal(await written('a/new'), join(folder, 'b', 'new'));
  assert.equal(await written('twice'), join(folder, 'b', 'new'));
  assert.equal(await written('folder/new'), join(folder, 'b', 'new'));
  assert.equal(await written('c/d/new'), join(folder, 'c', 'd', 'new'));
  assert.equal(await readFile(join(folder, 'b', 'there'), 'utf8'), 'kept');
  assert.deepEqual(await readdir(join(folder, 'b')), ['there']);
  const kept = [{ what: 'output', path: join(folder, 'b', 'new') }];
  const given = { what: 'report', path: join(folder, 'twice') };
  await assert.rejects(requireWritable(given, kept), { code: 'quantize/overwrites-input' });
});

test('a photograph that is calibrated on is not replaced, under whatever name', async (t) => {
  const folder = await temporaryFolder(t);
  const data = join(folder, 'data');
  await mkdir(join(data, 'class'), { recursive: true });
  await writeFile(join(data, 'class', '1.png'), '');
  await writeFile(join(data, 'notes.md'), '');
  await symlink(join(data, 'class', '1.png'), join(folder, 'report.md'));
  const check = async (path: string) =>
    requireWritable({ what: 'report', path }, await photographFiles(data, path));
  for (const path of [join(data, 'class', '1.png'), join(folder, 'report.md')]) {
    await assert.rejects(check(path), {
      code: 'quantize/overwrites-input',
      message: `the report ${path} would replace the photograph class/1.png`,
    });
  }
  await check(join(data, 'notes.md'));
  await check(join(data, 'class', '2.png'));
});
