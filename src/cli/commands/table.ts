import { DataError, UsageError } from '../../diagnostics/errors.ts';
import { nameHint } from '../../diagnostics/nearest-name.ts';
import { planPipeline } from '../../plan/make-plan.ts';
import type { Pipeline } from '../../pipeline/spec.ts';
import { readPipelineLock } from '../../store/lock-file.ts';
import type { PipelineLock } from '../../store/pipeline-lock.ts';
import { openStore } from '../../store/store.ts';
import { collectTables } from '../../tables/collect-tables.ts';
import type { ComparisonTable } from '../../tables/comparison.ts';
import { renderCsv } from '../../tables/csv.ts';
import { renderMarkdown } from '../../tables/markdown.ts';
import { findStaleStages } from '../../tables/stale-stages.ts';
import { tableToJson } from '../../tables/table-json.ts';
import { renderTerminalTable } from '../../tables/terminal.ts';
import type { CommandCall } from '../command-context.ts';
import { loadPipelineFile } from '../load-pipeline-file.ts';
import { machineFingerprint } from '../machine-fingerprint.ts';

/** `drq table`: the figures of the last run; works from the lock file alone, as in a fresh clone. */
export async function table(call: CommandCall): Promise<number> {
  const [file = ''] = call.arguments; // the command line requires it
  const { options, context } = call;
  const pipeline = await loadPipelineFile(file, call);
  const lock = await readPipelineLock(pipeline.projectRoot, pipeline.name);
  if (lock === null) {
    throw new UsageError({
      code: 'table/not-run',
      message: `pipeline ${pipeline.name} has not been run, so there are no figures`,
      hint: `run \`drq run ${file}\` first`,
    });
  }
  const store = await openStore(pipeline.projectRoot);
  const tables = await collectTables({ pipeline, lock, store });
  const chosen = chooseTables(tables, options.tableName, pipeline.name);
  const stale = await staleStages(pipeline, lock);
  if (stale.length > 0) {
    const profile = lock.profile === null ? '' : `, with --profile ${lock.profile}`;
    context.say(
      `note: these are the figures of the last run${profile}; changed since: ${stale.join(', ')}`,
    );
  }
  context.print(renderTables(chosen, options.tableFormat, context.stdoutWidth));
  return 0;
}

async function staleStages(pipeline: Pipeline, lock: PipelineLock): Promise<string[]> {
  try {
    const plan = await planPipeline(pipeline, { stages: [], force: false, machineFingerprint });
    return [...findStaleStages(plan, lock).keys()];
  } catch (error) {
    // Figures can be read where the images are not; then nothing can be said of what changed.
    if (error instanceof DataError && error.code.startsWith('data/')) return [];
    throw error;
  }
}

function chooseTables(
  tables: readonly ComparisonTable[],
  name: string | undefined,
  pipelineName: string,
): readonly ComparisonTable[] {
  const chosen = tables.filter((candidate) => name === undefined || candidate.name === name);
  if (chosen.length > 0) return chosen;
  const names = tables.map((candidate) => candidate.name);
  const hint = nameHint(name ?? '', names);
  throw new UsageError({
    code: 'usage/unknown-table',
    message:
      name === undefined
        ? `pipeline ${pipelineName} declares no tables`
        : `pipeline ${pipelineName} has no table "${name}"`,
    ...(hint === undefined ? {} : { hint }),
  });
}

function renderTables(
  tables: readonly ComparisonTable[],
  format: string | undefined,
  width: number | null,
): string {
  switch (format) {
    case 'csv':
      // Tables differ in their columns; a blank line tells them apart.
      return tables.map(renderCsv).join('\n');
    case 'markdown':
      return tables.map(renderMarkdown).join('\n');
    case 'json':
      return JSON.stringify(tables.map(tableToJson), null, 2);
    default:
      return renderTerminalTables(tables, width);
  }
}

/** A single table stands alone; several have their names above them. */
export function renderTerminalTables(
  tables: readonly ComparisonTable[],
  width: number | null,
): string {
  return tables
    .map((one) => `${tables.length > 1 ? `${one.name}\n` : ''}${renderTerminalTable(one, width)}`)
    .join('\n');
}
