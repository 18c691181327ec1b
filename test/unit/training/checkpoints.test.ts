import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  readCheckpointFile,
  writeCheckpointFile,
  type CheckpointContent,
} from '../../../src/training/checkpoint-file.ts';
import { createCheckpoints, type Checkpoints } from '../../../src/training/checkpoints.ts';
import { mountOrSkip } from '../../support/mount.ts';
import { temporaryFolder } from '../../support/stage-context.ts';

function contentOf(value: number): CheckpointContent {
  const tensors = Object.entries({
    a: Float32Array.of(value, -0, NaN),
    empty: new Float32Array(),
    b: Float32Array.of(1 / 3),
  }).map(([name, data]) => [name, { length: data.length, read: () => data }] as const);
  return { state: { value, loss: Infinity, none: NaN, text: 'NaN' }, tensors: new Map(tensors) };
}

async function write(path: string, content: CheckpointContent): Promise<void> {
  await (await writeCheckpointFile(path, content)).finish();
}

function valuesOf({ state, tensors }: CheckpointContent) {
  return { state, tensors: [...tensors].map(([name, tensor]) => [name, tensor.read()]) };
}

function isRead(path: string): Promise<unknown> {
  return readCheckpointFile(path, () => 'read');
}

function open(folder: string, failures: string[] = []): Checkpoints {
  return createCheckpoints({ folder, onFailure: (message) => failures.push(message) });
}

/** `value` of the state that is loaded. */
function loadedValue(checkpoints: Checkpoints): Promise<unknown> {
  return checkpoints.load(({ state }) => (state as { value: number }).value);
}

test('a checkpoint comes back as it was, bit for bit', async (context) => {
  const path = join(await temporaryFolder(context), 'c');
  await write(path, contentOf(7));
  assert.deepEqual(await readCheckpointFile(path, valuesOf), valuesOf(contentOf(7)));
});

test('a file cut off or altered anywhere is no checkpoint', async (context) => {
  const path = join(await temporaryFolder(context), 'c');
  await write(path, contentOf(7));
  const whole = await readFile(path);
  for (let i = 0; i < whole.length; i += 1) {
    await writeFile(path, whole.subarray(0, i));
    assert.equal(await isRead(path), null, `cut to ${i} bytes`);
    const altered = Buffer.from(whole);
    altered[i] = (altered[i] ?? 0) ^ 1;
    await writeFile(path, altered);
    assert.equal(await isRead(path), null, `byte ${i} altered`);
  }
});

test('the two newest are kept; of a torn one the one before is taken', async (context) => {
  const folder = join(await temporaryFolder(context), 'checkpoints');
  const checkpoints = open(folder);
  assert.equal(await loadedValue(checkpoints), null);
  for (const value of [1, 2, 3]) await checkpoints.save(contentOf(value));
  await checkpoints.finish();
  assert.deepEqual(await readdir(folder), ['00000002.checkpoint', '00000003.checkpoint']);
  assert.equal(await loadedValue(open(folder)), 3);
  await writeFile(join(folder, '00000003.checkpoint'), 'half a checkpo');
  await writeFile(join(folder, '00000004.checkpoint.tmp'), 'killed while it was written');
  const failures: string[] = [];
  const resumed = open(folder, failures);
  assert.equal(await loadedValue(resumed), 2);
  assert.match(
    failures.join(),
    /00000003\.checkpoint is damaged, .* the one before is looked for$/,
  );
  assert.deepEqual(await readdir(folder), ['00000002.checkpoint']);
  await resumed.save(contentOf(4));
  await resumed.finish();
  assert.equal(await loadedValue(open(folder)), 4);
});

test('numbers of more than eight digits are seen', async (context) => {
  const folder = await temporaryFolder(context);
  await writeFile(join(folder, '99999999.checkpoint'), 'of someone else');
  await writeFile(join(folder, '000000001.checkpoint'), 'no name of ours');
  const checkpoints = open(folder);
  assert.equal(await loadedValue(checkpoints), null);
  for (const value of [1, 2, 3]) await checkpoints.save(contentOf(value));
  await checkpoints.finish();
  assert.equal(await loadedValue(open(folder)), 3);
  assert.deepEqual((await readdir(folder)).sort(), [
    ...['000000001.checkpoint', '100000001.checkpoint', '100000002.checkpoint'],
  ]);
});

test('what the caller does not accept is passed over', async (context) => {
  const folder = await temporaryFolder(context);
  const checkpoints = open(folder);
  for (const value of [1, 2]) await checkpoints.save(contentOf(value));
  await checkpoints.finish();
  const first = await checkpoints.load(({ state }) =>
    (state as { value: number }).value === 1 ? 'first' : null,
  );
  assert.equal(first, 'first');
  await checkpoints.discard();
  assert.deepEqual(await readdir(folder), []);
});

test('a disk that refuses is told and does not stop the training', async (context) => {
  const parent = await temporaryFolder(context);
  await writeFile(join(parent, 'file'), '');
  const failures: string[] = [];
  const checkpoints = open(join(parent, 'file', 'below'), failures);
  await checkpoints.save(contentOf(1));
  assert.equal(await checkpoints.finish(), 'failed');
  assert.match(failures.join(), /^no checkpoint could be written: ENOTDIR/);
});

/** A megabyte and its head. */
function largeContentOf(value: number): CheckpointContent {
  const data = new Float32Array(2 ** 18).fill(value);
  return { state: { value }, tensors: new Map([['a', { length: data.length, read: () => data }]]) };
}

test('on a disk that has no room for a third one the newest is kept while the next is written', async (context) => {
  const folder = await temporaryFolder(context);
  const disk = await mountOrSkip(context, folder, ['-t', 'tmpfs', '-o', 'size=2500k', 'tmpfs']);
  if (disk === null) return;
  try {
    const failures: string[] = [];
    const checkpoints = open(folder, failures);
    for (const value of [1, 2, 3, 4]) {
      await checkpoints.save(largeContentOf(value));
      assert.equal(await checkpoints.finish(), 'saved');
    }
    assert.deepEqual(await readdir(folder), ['00000003.checkpoint', '00000004.checkpoint']);
    assert.equal(failures.length, 1);
    assert.match(failures.join(), /is nearly full: .* only the newest is kept/);
    // Of another process, which knows what it has read.
    const resumed = open(folder);
    assert.equal(await loadedValue(resumed), 4);
    await resumed.save(largeContentOf(5));
    assert.equal(await resumed.finish(), 'saved');
    // What takes the room is something else: the newest stays.
    await rm(join(folder, '00000004.checkpoint'));
    await writeFile(join(folder, 'other'), new Uint8Array(1_200_000));
    await resumed.save(largeContentOf(6));
    assert.equal(await resumed.finish(), 'failed');
    assert.equal(await loadedValue(open(folder, failures)), 5);
  } finally {
    await disk.unmount();
  }
});

test('only the last one that was to be saved counts as saved or failed', async (context) => {
  const parent = await temporaryFolder(context);
  const folder = join(parent, 'checkpoints');
  const checkpoints = open(folder);
  assert.equal(await checkpoints.finish(), 'saved');
  await checkpoints.save(contentOf(1));
  assert.equal(await checkpoints.finish(), 'saved');
  // Fails in the last step of `finish`, where a full disk may tell, too.
  await mkdir(join(folder, '00000002.checkpoint', 'below'), { recursive: true });
  await checkpoints.save(contentOf(2));
  assert.equal(await checkpoints.finish(), 'failed');
  await checkpoints.save(contentOf(3));
  assert.equal(await checkpoints.finish(), 'saved');
});

test('one that cannot be read leads to the one before, and stays', async (context) => {
  const folder = await temporaryFolder(context);
  const checkpoints = open(folder);
  await checkpoints.save(contentOf(1));
  await checkpoints.finish();
  await mkdir(join(folder, '00000002.checkpoint')); // EISDIR, as a failing disk would say EIO
  const failures: string[] = [];
  const resumed = open(folder, failures);
  assert.equal(await loadedValue(resumed), 1);
  assert.match(failures.join(), /00000002\.checkpoint could not be read \(EISDIR/);
  for (const value of [3, 4]) await resumed.save(contentOf(value));
  await resumed.finish();
  assert.deepEqual(await readdir(folder), ['00000003.checkpoint', '00000004.checkpoint']);
  // A folder that cannot be looked into does not stop the training either.
  const blocked = join(folder, '00000003.checkpoint', 'below');
  assert.equal(await loadedValue(open(blocked, failures)), null);
  assert.match(failures.at(-1) ?? '', /^no checkpoint is looked for: ENOTDIR/);
});
