import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { downloadFile } from '../../../src/data/download-file.ts';
import { temporaryFolder } from '../../support/stage-context.ts';

const BODY = Buffer.from('an archive, say');
const SHA256 = createHash('sha256').update(BODY).digest('hex');

async function serve(t: TestContext): Promise<string> {
  const server = createServer((request, response) => {
    response.statusCode = request.url === '/data.zip' ? 200 : 404;
    response.end(BODY);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  // A listening TCP server has an address with a port.
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function download(
  t: TestContext,
  more: { path?: string; sha256?: string; maximumBytes?: number },
): Promise<{ target: string; received: number[] }> {
  const target = join(await temporaryFolder(t), 'file');
  const received: number[] = [];
  await downloadFile({
    url: `${await serve(t)}${more.path ?? '/data.zip'}`,
    target,
    sha256: more.sha256 ?? SHA256,
    maximumBytes: more.maximumBytes ?? 1000,
    signal: new AbortController().signal,
    onProgress: (bytes) => received.push(bytes),
  });
  return { target, received };
}

test('a file with the right digest is written, with progress', async (t) => {
  const { target, received } = await download(t, { sha256: SHA256.toUpperCase() });
  assert.deepEqual(await readFile(target), BODY);
  assert.equal(received.at(-1), BODY.length);
});

test('a wrong digest is told with both', async (t) => {
  const wrong = '0'.repeat(64);
  await assert.rejects(download(t, { sha256: wrong }), (error: Error) => {
    assert.ok(error.message.includes(SHA256) && error.message.includes(wrong), error.message);
    return true;
  });
});

test('a missing page, a silent server and too much are errors with the address', async (t) => {
  await assert.rejects(download(t, { path: '/none' }), /\/none cannot be downloaded: .*404/);
  await assert.rejects(download(t, { maximumBytes: 3 }), { code: 'data/download-too-large' });
  const closed = downloadFile({
    url: 'http://127.0.0.1:1/x',
    target: join(await temporaryFolder(t), 'file'),
    sha256: SHA256,
    maximumBytes: 10,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });
  await assert.rejects(closed, { code: 'data/download-failed' });
});

test('a server that goes silent in the middle is given up', async (t) => {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-length': 100 });
    response.write('half');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const silent = downloadFile({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/x`,
    target: join(await temporaryFolder(t), 'file'),
    sha256: SHA256,
    maximumBytes: 1000,
    idleLimitMs: 200,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });
  await assert.rejects(silent, {
    code: 'data/download-failed',
    message: /cannot be downloaded: the server sent nothing for 0\.2 s$/,
  });
});
