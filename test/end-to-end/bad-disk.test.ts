import assert from 'node:assert/strict';
import { readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import { assertSays, ingestPipeline, writeDataset } from '../support/bad-input.ts';
import { mountOrSkip } from '../support/mount.ts';
import { createRig, type Rig } from '../support/rig.ts';

async function succeeds(rig: Rig): Promise<string> {
  const { exitCode, stderr } = await rig.drq('run', 'p.yaml');
  assert.equal(exitCode, 0, stderr);
  return stderr;
}

test('a disk that fills', async (context) => {
  const rig = await createRig(context);
  const generate = '{ imagesPerClass: { train: 12, validation: 1, test: 1 }, sizePx: 160 }';
  await rig.write('p.yaml', ingestPipeline(`{ layout: generated, generate: ${generate} }`, null));
  const artifacts = rig.path('artifacts');
  const disk = await mountOrSkip(context, artifacts, ['-t', 'tmpfs', '-o', 'size=500k', 'tmpfs']);
  if (disk === null) return;
  try {
    assertSays(
      rig,
      await rig.drq('run', 'p.yaml'),
      /^failed {6}ingest {2}the disk is full: ROOT\/artifacts\/attempts\/RUN\/ingest\S* cannot be written \(.*0 B free\) \(store\/disk-full\)\n {2}hint: free some space and run again: finished stages are kept, nothing half-written is used$/,
    );
    await execa('mount', ['-o', 'remount,size=50m', artifacts]);
    await succeeds(rig);
  } finally {
    await disk.unmount();
  }
});

for (const name of ['experiments', 'artifacts']) {
  test(`a read-only ${name} folder`, async (context) => {
    const rig = await createRig(context);
    await writeDataset(rig);
    await rig.write('p.yaml', ingestPipeline());
    const folder = rig.path(name);
    const steps = [
      ['--bind', folder],
      ['-o', 'remount,ro,bind'],
    ];
    const disk = await mountOrSkip(context, folder, ...steps);
    if (disk === null) return;
    try {
      const shown = name === 'experiments' ? 'experiments/p' : name;
      assertSays(
        rig,
        await rig.drq('run', 'p.yaml'),
        `error store/not-writable: ROOT/${shown} cannot be written: the file system is read-only
hint: give the current user the right to write there, or choose another project root with --root`,
      );
    } finally {
      await disk.unmount();
    }
    await succeeds(rig);
  });
}

test('what is damaged or gone in the store is made again, and the reason told', async (context) => {
  const rig = await createRig(context);
  await writeDataset(rig);
  await rig.write('p.yaml', ingestPipeline());
  await succeeds(rig);
  for (const file of await filesBelow(rig.path('artifacts/objects'))) await truncate(file, 5);
  assert.match(await succeeds(rig), /^run {9}ingest {2}stored output dataset\S* is damaged$/m);
  await rm(rig.path('artifacts/objects'), { recursive: true });
  assert.match(await succeeds(rig), /^run {9}ingest {2}stored output dataset\S* is missing$/m);
  for (const file of await filesBelow(rig.path('artifacts/results'))) await writeFile(file, '{ "a');
  assert.match(await succeeds(rig), /^run {9}ingest {2}stored result is damaged$/m);
  assert.match(await succeeds(rig), /everything is up to date/);
});

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
