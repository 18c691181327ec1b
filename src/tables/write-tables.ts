import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Pipeline } from '../pipeline/spec.ts';
import { writeFileAtomic } from '../store/atomic-write.ts';
import { systemErrorCode } from '../store/system-error.ts';
import type { ComparisonTable } from './comparison.ts';
import { renderCsv } from './csv.ts';
import { renderMarkdown } from './markdown.ts';

/** Where a pipeline's tables and lock are kept: `experiments/<pipeline>`. */
export function experimentFolder(pipeline: Pipeline): string {
  return join(pipeline.projectRoot, 'experiments', pipeline.name);
}

/**
 * Writes every table as `<name>.csv` and `<name>.md`, those only whose text changed, and returns the
 * paths of the CSV files.
 * @throws StoreError when the folder cannot be written.
 */
export async function writeTables(
  pipeline: Pipeline,
  tables: readonly ComparisonTable[],
): Promise<string[]> {
  const paths: string[] = [];
  for (const table of tables) {
    const base = join(experimentFolder(pipeline), table.name);
    await writeIfChanged(`${base}.csv`, renderCsv(table));
    await writeIfChanged(`${base}.md`, renderMarkdown(table));
    paths.push(`${base}.csv`);
  }
  return paths;
}

/** An unchanged file keeps its time, so that nothing that watches it stirs. */
async function writeIfChanged(path: string, text: string): Promise<void> {
  if ((await readIfPresent(path)) !== text) await writeFileAtomic(path, text);
}

async function readIfPresent(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw error;
  }
}
