import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { readDatasetIndex, type DatasetIndex } from '../../src/data/dataset-index.ts';
import { DrqError } from '../../src/diagnostics/errors.ts';
import { readMetricsFile } from '../../src/stage/metrics-file.ts';
import { ingest } from '../../stages/ingest/stage.ts';
import { makeJpeg, writeFiles } from './picture-fixtures.ts';
import { runStage, temporaryFolder, type StageRun } from './stage-context.ts';

export interface Ingested extends StageRun {
  readonly index: DatasetIndex;
  /** Names of counts → values. */
  readonly counts: Readonly<Record<string, unknown>>;
}

/** Runs the stage on a source, and reads what it wrote. */
export async function runIngest(
  t: TestContext,
  source: string | undefined,
  parameters: object = {},
): Promise<Ingested> {
  const kind = source !== undefined && /\.(zip|gz|csv)$/.test(source) ? 'file' : 'folder';
  const result = await runStage(t, ingest, {
    parameters,
    inputs: source === undefined ? {} : { source: { kind, path: source } },
  });
  // Declared outputs of the stage.
  const index = await readDatasetIndex(result.outputs['dataset']!);
  const { values } = await readMetricsFile(result.outputs['report']!);
  return { ...result, index, counts: Object.fromEntries(values.map((v) => [v.name, v.value])) };
}

/** A source folder; numbers are the seeds of pictures, equal numbers are equal files. */
export async function makeSource(
  t: TestContext,
  files: Readonly<Record<string, number | string | Uint8Array>>,
): Promise<string> {
  const root = await temporaryFolder(t);
  const content: Record<string, string | Uint8Array> = {};
  for (const [name, value] of Object.entries(files)) {
    content[join(root, name)] = typeof value === 'number' ? await makeJpeg(value) : value;
  }
  await writeFiles(content);
  return root;
}

/** `count` different pictures for each class folder. */
export function fill(folders: readonly string[], count: number): Record<string, number> {
  return Object.fromEntries(
    folders.flatMap((folder, f) =>
      Array.from({ length: count }, (_, i) => [`${folder}/p${i}.jpg`, 100 * f + i] as const),
    ),
  );
}

/** The error that stops it. */
export async function refused(running: Promise<unknown>): Promise<DrqError> {
  const error: unknown = await running.then(
    () => null,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof DrqError, `expected a DrqError, got ${String(error)}`);
  return error;
}
