import { DataError, UsageError } from '../../diagnostics/errors.ts';
import { shortenList } from '../../diagnostics/shorten-list.ts';
import { nameHint } from '../../diagnostics/nearest-name.ts';
import { planPipeline } from '../../plan/make-plan.ts';
import type { Pipeline, StageId } from '../../pipeline/spec.ts';
import { readPipelineLock } from '../../store/lock-file.ts';
import type { PipelineLock } from '../../store/pipeline-lock.ts';
import { openStore } from '../../store/store.ts';
import { collectTables } from '../../tables/collect-tables.ts';
import type { ComparisonTable } from '../../tables/comparison.ts';
import { renderCsv } from '../../tables/csv.ts';
import { renderMarkdown } from '../../tables/markdown.ts';
import {
  findStagesOfOtherMachines,
  findStaleStages,
  staleRemarks,
  type Staleness,
} from '../../tables/stale-stages.ts';
import { tableToJson } from '../../tables/table-json.ts';
import { renderTerminalTable } from '../../tables/terminal.ts';
import type { CommandCall } from '../command-context.ts';
import { loadPipelineFile } from '../load-pipeline-file.ts';
import { machineFingerprint } from '../machine-fingerprint.ts';

/** Stages that a note names; the rest are counted. */
const SHOWN_STAGES = 10;

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
  const stale = await staleStages(pipeline, lock);
  const remarks = staleRemarks(stale, 'shown');
  const tables = await collectTables({ pipeline, lock, store, remarks });
  const chosen = chooseTables(tables, options.tableName, pipeline.name);
  for (const note of describeStale(stale, lock.profile)) context.say(`note: ${note}`);
  context.print(renderTables(chosen, options.tableFormat, context.stdoutWidth));
  return 0;
}

async function staleStages(
  pipeline: Pipeline,
  lock: PipelineLock,
): Promise<ReadonlyMap<StageId, Staleness>> {
  const machine = await machineFingerprint();
  try {
    const plan = await planPipeline(pipeline, { stages: [], force: false, machineFingerprint });
    return findStaleStages(plan, lock, machine);
  } catch (error) {
    // Figures can be read where the images are not; then nothing can be said of what changed.
    if (error instanceof DataError && error.code.startsWith('data/')) {
      return findStagesOfOtherMachines(pipeline.graph.nodes.keys(), lock, machine);
    }
    throw error;
  }
}

function describeStale(
  stale: ReadonlyMap<StageId, Staleness>,
  lastProfile: string | null,
): string[] {
  const named = (staleness: Staleness): string[] =>
    [...stale].flatMap(([id, each]) => (each === staleness ? [id] : []));
  const changed = named('changed');
  const elsewhere = named('other-machine');
  const neverRun = named('never-run');
  const profile = lastProfile === null ? '' : ` (the last with --profile ${lastProfile})`;
  return [
    ...(changed.length === 0
      ? []
      : [
          `figures of earlier runs${profile} are shown of what changed since: ${shortenList(changed, SHOWN_STAGES)}`,
        ]),
    ...(elsewhere.length === 0
      ? []
      : [
          `figures of another machine are shown of what has not been run on this one: ${shortenList(elsewhere, SHOWN_STAGES)}`,
        ]),
    ...(neverRun.length === 0 ? [] : [`not run yet: ${shortenList(neverRun, SHOWN_STAGES)}`]),
  ];
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
