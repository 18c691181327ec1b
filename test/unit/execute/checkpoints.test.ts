import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  runTiny,
  temporaryProject,
  tinyPipeline,
  type TinyRun,
} from '../../support/in-memory-pipeline.ts';

/** Counts to three in its checkpoint and fails after each step but the last. */
function count(root: string, name: string): Promise<TinyRun> {
  const pipeline = tinyPipeline(root, [
    {
      name: 'count',
      parameters: { name },
      async run(context) {
        const { checkpointPath, outputs } = context;
        await mkdir(checkpointPath, { recursive: true });
        const file = join(checkpointPath, 'count');
        const before = existsSync(file) ? Number(await readFile(file, 'utf8')) : 0;
        if (before > 0) context.notice(`resumes from ${before}`);
        await writeFile(file, String(before + 1));
        if (before + 1 < 3) throw new Error('not yet');
        await writeFile(outputs['out'] ?? '', 'three');
      },
    },
  ]);
  return runTiny(pipeline);
}

test('a stage goes on from its checkpoints, other parameters do not, and success removes them', async (t) => {
  const root = await temporaryProject(t);
  const noticesOf = async (name: string): Promise<string[]> => {
    const { events } = await count(root, name);
    return events.flatMap((event) => (event.type === 'stage-notice' ? [event.message] : []));
  };
  const folder = join(root, 'artifacts/checkpoints');
  assert.deepEqual(await noticesOf('a'), []);
  assert.deepEqual(await noticesOf('a'), ['resumes from 1']);
  assert.deepEqual(await noticesOf('b'), []);
  assert.equal((await readdir(folder)).length, 2);
  assert.deepEqual(await noticesOf('a'), ['resumes from 2']);
  assert.equal((await readdir(folder)).length, 1);
  // Up to date: a notice is no part of the result.
  assert.deepEqual(await noticesOf('a'), []);
});
