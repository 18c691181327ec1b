import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { test, type TestContext } from 'node:test';
import { readDatasetIndex, type DatasetIndex } from '../../../src/data/dataset-index.ts';
import { packageRoot } from '../../../src/runtime/package-root.ts';
import { readMetricsFile } from '../../../src/stage/metrics-file.ts';
import { ingest } from '../../../stages/ingest/stage.ts';
import { runStage } from '../../support/stage-context.ts';

const SHARED = process.env['DRQ_SHARED'] ?? resolve(packageRoot(), '..', 'shared');
const IDRID = join(SHARED, 'data', 'idrid');

async function run(
  t: TestContext,
  layout: string,
): Promise<{ index: DatasetIndex; counts: Map<string, unknown>; files: string[] }> {
  const { outputs } = await runStage(t, ingest, {
    parameters: { layout },
    inputs: { source: { kind: 'folder', path: IDRID } },
    cpuCount: 2,
  });
  const dataset = outputs['dataset']!; // declared by the stage
  const { values } = await readMetricsFile(outputs['report']!);
  return {
    index: await readDatasetIndex(dataset),
    counts: new Map(values.map(({ name, value }) => [name, value])),
    files: await readdir(join(dataset, 'images')),
  };
}

test('the faults of IDRiD are found, by folders and by its CSV files alike', async (t) => {
  if (!existsSync(IDRID)) return t.skip(`${IDRID} is not there; name its parent by DRQ_SHARED`);
  const folders = await run(t, 'auto');
  // By sha256sum: six pairs of equal files, three with two labels, one of those in train and test.
  const names = ['duplicateCount', 'labelConflictCount', 'leakCount', 'unreadableCount'];
  assert.deepEqual(
    names.map((name) => folders.counts.get(name)),
    [3, 3, 1, 0],
  );
  // The test split stays whole; five conflicting training images go.
  assert.equal(folders.counts.get('testImageCount'), 103);
  assert.equal(folders.index.images.length, 516 - 5);
  assert.equal(folders.files.length, 516 - 5 - 3, 'duplicates share a file');
  const csv = await run(t, 'csv');
  assert.deepEqual(csv.index, folders.index);
});
