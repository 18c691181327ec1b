import { fileURLToPath } from 'node:url';
import { relative } from 'node:path';
import type { Writable } from 'node:stream';
import { InterruptedError } from '../../diagnostics/errors.ts';
import { createLocalExecutor } from '../../execute/local/local-executor.ts';
import { runPipeline, type RunOptions } from '../../execute/run-pipeline.ts';
import type { RunRecord } from '../../execute/run-record.ts';
import type { Pipeline, StageId } from '../../pipeline/spec.ts';
import { planPipeline } from '../../plan/make-plan.ts';
import type { Reporter } from '../../report/reporter.ts';
import { readPipelineLock } from '../../store/lock-file.ts';
import { openStore } from '../../store/store.ts';
import { collectTables, type CollectOptions } from '../../tables/collect-tables.ts';
import type { ComparisonTable } from '../../tables/comparison.ts';
import { findStaleStages, staleRemarks } from '../../tables/stale-stages.ts';
import { writeTables } from '../../tables/write-tables.ts';
import type { CommandCall, CommandContext } from '../command-context.ts';
import { loadPipelineFile } from '../load-pipeline-file.ts';
import { machineFingerprint } from '../machine-fingerprint.ts';
import { describePlan, planExitCode, planOf } from './plan.ts';
import { reserveStdout, type TextOutput } from '../reserve-stdout.ts';
import { tellEarlyEnd } from '../tell-early-end.ts';
import { renderTerminalTables } from './table.ts';

/** `drq run`: brings a pipeline up to date, writes its tables and prints them. */
export async function run(call: CommandCall): Promise<number> {
  const [file = '', ...stages] = call.arguments; // the command line requires the file
  const { options, context } = call;
  const pipeline = await loadAndReport(file, call);
  if (options.dryRun === true) return dryRun(pipeline, stages, call);

  const record = await withOwnStdout(call, (stdout) =>
    runAndReport(pipeline, stages, { ...call, stdout }),
  );
  if (record.interrupted) throw new InterruptedError();
  if (record.failed > 0 && options.keepGoing !== true) {
    if (pipeline.tables.length > 0) {
      context.say('the tables were not written, because the run failed');
    }
    return 1;
  }
  await showTables(pipeline, { record, isPartial: stages.length > 0 || record.failed > 0, call });
  return record.failed > 0 ? 1 : 0;
}

/** With `--json` stdout is for what drq itself writes there; modules of the user's own may print, too. */
function withOwnStdout<T>(
  { options, context }: CommandCall,
  use: (stdout: TextOutput) => Promise<T>,
): Promise<T> {
  const isShared = options.jsonEvents === true && context.stdout === process.stdout;
  return isShared ? reserveStdout(use) : use(context.stdout);
}

/** Who follows the events learns of a pipeline that is refused, too; a dry run has none. */
function loadAndReport(file: string, call: CommandCall): Promise<Pipeline> {
  const { options, context } = call;
  return withOwnStdout(call, async (stdout) => {
    if (options.jsonEvents !== true || options.dryRun === true) return loadPipelineFile(file, call);
    const reporter = await createReporter(true, { stdout, stderr: context.stderr });
    return tellEarlyEnd(reporter, context.signal, () => loadPipelineFile(file, call));
  });
}

async function runAndReport(
  pipeline: Pipeline,
  stages: readonly string[],
  { options, context, stdout }: CommandCall & { readonly stdout: TextOutput },
): Promise<RunRecord> {
  const reporter = await createReporter(options.jsonEvents === true, {
    stdout,
    stderr: context.stderr,
  });
  try {
    const runOptions: RunOptions = {
      stages,
      force: options.force ?? false,
      keepGoing: options.keepGoing ?? false,
      machineFingerprint,
      executor: createLocalExecutor([mainPath(), 'exec-stage']),
      ...(options.jobs === undefined ? {} : { jobs: options.jobs }),
    };
    return await tellEarlyEnd(reporter, context.signal, (listened) =>
      runPipeline(pipeline, runOptions, listened, context.signal),
    );
  } finally {
    reporter.close();
  }
}

/** JSON on stdout for programs; on stderr live lines for a terminal, plain ones for a log. */
async function createReporter(
  json: boolean,
  { stdout, stderr }: { readonly stdout: TextOutput; readonly stderr: Writable },
): Promise<Reporter> {
  if (json) {
    const { createJsonReporter } = await import('../../report/json-reporter.ts');
    return createJsonReporter(stdout);
  }
  if (stderr === process.stderr && process.stderr.isTTY && process.env['TERM'] !== 'dumb') {
    const { createTerminalReporter } = await import('../../report/terminal-reporter.ts');
    return createTerminalReporter(process.stderr);
  }
  const { createPlainReporter } = await import('../../report/plain-reporter.ts');
  return createPlainReporter(stderr);
}

/** The compiled main.ts, which the executor starts again for stages in a process of their own. */
function mainPath(): string {
  return fileURLToPath(new URL('../main.js', import.meta.url));
}

async function dryRun(
  pipeline: Pipeline,
  stages: readonly string[],
  call: CommandCall,
): Promise<number> {
  const plan = await planOf(pipeline, stages, call);
  call.context.print(call.options.jsonEvents === true ? JSON.stringify(plan) : describePlan(plan));
  return planExitCode(plan);
}

interface RunOutcome {
  readonly record: RunRecord;
  /** Not all stages were looked at, so some figures may be of an earlier state of the pipeline. */
  readonly isPartial: boolean;
  readonly call: CommandCall;
}

async function showTables(
  pipeline: Pipeline,
  { record, isPartial, call: { options, context } }: RunOutcome,
): Promise<void> {
  const isUpToDate = record.ran + record.restored + record.failed + record.skipped === 0;
  if (isUpToDate && options.jsonEvents !== true) {
    context.say(`everything is up to date (${record.upToDate} stages)`);
  }
  if (pipeline.tables.length === 0) return;
  const tables = isPartial
    ? await partialTables(pipeline, record, context)
    : await collectTables(await recorded(pipeline));
  const paths = await writeTables(pipeline, tables);
  if (options.jsonEvents === true || tables.length === 0) return;
  context.print(renderTerminalTables(tables, context.stdoutWidth));
  for (const path of paths) {
    const place = relative(context.cwd, path);
    context.say(`table: ${place.startsWith('..') ? path : place}`);
  }
}

async function recorded(pipeline: Pipeline): Promise<CollectOptions> {
  const lock = await readPipelineLock(pipeline.projectRoot, pipeline.name);
  return { pipeline, lock, store: await openStore(pipeline.projectRoot) };
}

/** The tables that have figures of what the pipeline is now; of the others, says why they have none. */
async function partialTables(
  pipeline: Pipeline,
  record: RunRecord,
  context: CommandContext,
): Promise<readonly ComparisonTable[]> {
  const options = await recorded(pipeline);
  const plan = await planPipeline(pipeline, { stages: [], force: false, machineFingerprint });
  const stale = findStaleStages(plan, options.lock, await machineFingerprint());
  const withheld = new Map(staleRemarks(stale, 'left-out'));
  for (const { stageId, outcome } of record.stages) {
    const id = stageId as StageId; // the record's stages are those of the pipeline
    if (outcome === 'failed' && withheld.has(id)) withheld.set(id, `${stageId} failed`);
  }
  const tables = await collectTables({ ...options, withheld });
  for (const { name } of tables.filter(({ hasFigures }) => !hasFigures)) {
    const rows = pipeline.tables.find((table) => table.name === name)?.rows ?? [];
    const reasons = rows.flatMap(({ sources }) =>
      sources.flatMap(({ stageId }) => withheld.get(stageId) ?? []),
    );
    context.say(
      `note: ${[...new Set(reasons)].join(', ')}; table ${name} has no figures and is not written`,
    );
  }
  return tables.filter(({ hasFigures }) => hasFigures);
}
