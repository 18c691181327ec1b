import { access, constants, mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { StoreError } from '../diagnostics/errors.ts';
import type { Pipeline, StageId } from '../pipeline/spec.ts';
import type { PlanContext } from '../plan/inspect-stage.ts';
import { makePlan, type PlanOptions } from '../plan/make-plan.ts';
import { fileNameOf } from '../plan/output-path.ts';
import type { Plan } from '../plan/planned-stage.ts';
import { drqVersion } from '../plan/runtime-versions.ts';
import { selectStages, type StageSelection } from '../plan/select-stages.ts';
import type { Reporter } from '../report/reporter.ts';
import { packageRoot } from '../runtime/package-root.ts';
import { temporaryPathBeside } from '../store/atomic-write.ts';
import { pipelineLockPath, readPipelineLock } from '../store/lock-file.ts';
import { acquireLock, waitingText } from '../store/stage-lock.ts';
import { openStore, type Store } from '../store/store.ts';
import { isAbsent, withStoreErrors } from '../store/system-error.ts';
import type { Executor } from './executor.ts';
import { createLocalExecutor } from './local/local-executor.ts';
import { LockRecorder } from './lock-recorder.ts';
import { describeEnd } from './describe-end.ts';
import { whileOpen, type RunEnd } from './open-runs.ts';
import { settleStage } from './perform-stage.ts';
import type { RunContext } from './run-context.ts';
import {
  createRunId,
  describeMachine,
  writeRunRecord,
  type RunRecord,
  type StageRecord,
} from './run-record.ts';
import { runSchedule, type Schedule } from './schedule.ts';
import { toDrqError } from './to-drq-error.ts';

export interface RunOptions extends PlanOptions {
  /** Stages at once; as many as there are cores unless given. */
  readonly jobs?: number;
  /** Go on with what does not depend on a failed stage. */
  readonly keepGoing: boolean;
  /** Cores the run may use; those this process may use unless given. */
  readonly coreCount?: number;
  /** Where stages run; on this machine unless given. */
  readonly executor?: Executor;
}

/**
 * Brings the named stages, or all, up to date. A failing stage does not throw: it is in the record
 * and the events. When everything is up to date, no file is written.
 * @throws StoreError, DataError, UsageError for what keeps the run as a whole from being done
 */
export async function runPipeline(
  pipeline: Pipeline,
  options: RunOptions,
  reporter: Reporter,
  signal: AbortSignal,
): Promise<RunRecord> {
  const startedAt = new Date();
  const selection = selectStages(pipeline, options.stages);
  const run: Run = {
    pipeline,
    options,
    reporter,
    signal,
    selection,
    startedAt,
    runId: createRunId(startedAt),
    store: await openStore(pipeline.projectRoot),
    records: new Map(),
  };
  reporter.report({
    type: 'run-started',
    runId: run.runId,
    pipeline: pipeline.name,
    stageCount: selection.nodes.length,
  });
  let hasFinished = false;
  const finish = (record: RunRecord, error?: RunEnd): void => {
    if (hasFinished) return; // what ends the process may reach the run as an error, too
    hasFinished = true;
    const { ran, restored, upToDate, failed, skipped, durationMs } = record;
    const counts = { ran, restored, upToDate, failed, skipped, durationMs };
    reporter.report({
      type: 'run-finished',
      ...counts,
      ...(error === undefined ? {} : { error: describeEnd(error) }),
    });
  };
  try {
    const record = await whileOpen(
      (end) => finish(finishRecord(run), end),
      () => performRun(run),
    );
    finish(record);
    return record;
  } catch (error) {
    finish(finishRecord(run), toDrqError(error));
    throw error;
  }
}

async function performRun(run: Run): Promise<RunRecord> {
  try {
    if (!(await reportUpToDate(run))) await bringUpToDate(run);
  } finally {
    await run.store.cache.save();
  }
  const record = finishRecord(run);
  if (record.stages.some(({ outcome }) => outcome !== 'up-to-date') || record.interrupted) {
    await keepRecord(run.pipeline, record);
  }
  return record;
}

/** On a full disk the failed stage has said so already; its message must not be buried. */
async function keepRecord(pipeline: Pipeline, record: RunRecord): Promise<void> {
  try {
    await writeRunRecord(pipeline.projectRoot, record);
  } catch (error) {
    if (!(error instanceof StoreError) || record.failed === 0) throw error;
  }
}

interface Run {
  readonly pipeline: Pipeline;
  readonly options: RunOptions;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
  readonly selection: StageSelection;
  readonly startedAt: Date;
  readonly runId: string;
  readonly store: Store;
  readonly records: Map<StageId, StageRecord>;
}

/** When nothing is to be done, says so and returns true: no lock is taken, nothing is written. */
async function reportUpToDate(run: Run): Promise<boolean> {
  const { context, recorder } = await readState(run);
  const plan = await makePlan(context, run.selection);
  if (plan.stages.some(({ action }) => action !== 'up-to-date')) return false;
  if (!(await recorder.isCurrent())) return false;
  for (const stage of plan.stages) reportStage(run, stage);
  return true;
}

function reportStage(run: Run, stage: Plan['stages'][number]): void {
  if (stage.action !== 'up-to-date') return;
  const { stageId, action, key, warnings } = stage;
  run.reporter.report({ type: 'stage-started', stageId, action, reason: '' });
  for (const message of warnings) run.reporter.report({ type: 'stage-warning', stageId, message });
  run.reporter.report({ type: 'stage-finished', stageId, action, key, durationMs: 0 });
  run.records.set(stageId, {
    stageId,
    outcome: action,
    key,
    reason: '',
    startedAt: null,
    durationMs: 0,
    warnings: [...warnings],
  });
}

/** Runs and restores, alone on this pipeline: its lock file and working copies are ours meanwhile. */
async function bringUpToDate(run: Run): Promise<void> {
  const { pipeline, store, signal, runId, options, reporter } = run;
  const pipelineLock = pipelineLockPath(pipeline.projectRoot, pipeline.name);
  await checkWritable(dirname(pipelineLock));
  await checkWritable(store.folder);
  const lockPath = join(store.folder, 'locks', `pipeline-${fileNameOf(pipeline.name)}.lock`);
  const lock = await acquireLock({
    path: lockPath,
    what: `pipeline ${pipeline.name}, run ${runId}`,
    onWait: (owner) =>
      reporter.report({
        type: 'lock-waiting',
        stageId: null,
        message: waitingText(owner, lockPath, 'runs this pipeline'),
      }),
    signal,
  });
  try {
    const coreCount = options.coreCount ?? availableParallelism();
    const stop = new AbortController();
    const { context: planContext, recorder } = await readState(run);
    const context: RunContext = {
      ...planContext,
      runId,
      recorder,
      executor: options.executor ?? createLocalExecutor(defaultStageCommand()),
      coreCount,
      signal: AbortSignal.any([signal, stop.signal]),
      artifacts: new Map(),
      records: run.records,
      emit: (event) => reporter.report(event),
    };
    const schedule: Schedule = {
      nodes: run.selection.nodes,
      jobs: options.jobs ?? coreCount,
      coreCount,
      keepGoing: options.keepGoing,
      signal,
      settle: (node) => settleStage(context, node),
      skip: (node, because) => skip(run, node.id, because),
      stopOthers: () => stop.abort(),
    };
    try {
      await runSchedule(schedule);
    } catch (error) {
      await recorder.write().catch(() => undefined); // what ended the run is what is told
      throw error;
    }
    await recorder.write();
  } finally {
    await lock.release();
  }
}

/** What is known before the run; read again once the pipeline is locked. */
async function readState(
  run: Run,
): Promise<{ readonly context: PlanContext; readonly recorder: LockRecorder }> {
  const { pipeline, selection, options, store } = run;
  const before = await readPipelineLock(pipeline.projectRoot, pipeline.name);
  return {
    context: {
      pipeline,
      store,
      locked: before?.stages ?? {},
      forced: options.force ? selection.named : new Set(),
      machineFingerprint: options.machineFingerprint,
    },
    recorder: new LockRecorder(pipeline, before, selection.isWhole),
  };
}

/** A stage that was running then has a record of its own. */
function skip(run: Run, stageId: StageId, because: StageId): void {
  const before = run.records.get(stageId);
  const wasRunning = before?.outcome === 'interrupted';
  if (!wasRunning) {
    run.records.set(stageId, {
      stageId,
      outcome: 'skipped',
      key: before?.key ?? null,
      reason: `${because} failed`,
      startedAt: null,
      durationMs: 0,
      warnings: [],
    });
  }
  run.reporter.report({ type: 'stage-skipped', stageId, because, wasRunning });
}

/** Found before hours of training rather than after. @throws StoreError */
async function checkWritable(folder: string): Promise<void> {
  await withStoreErrors(folder, async () => {
    // On a read-only file system a recursive mkdir says ENOENT; this says what is the matter.
    await access(await nearestFolder(folder), constants.W_OK);
    await mkdir(folder, { recursive: true });
    const probe = temporaryPathBeside(join(folder, 'probe'));
    await writeFile(probe, '');
    await rm(probe);
  });
}

/** The path itself, or the nearest above it that exists. */
async function nearestFolder(path: string): Promise<string> {
  for (let folder = path; ; folder = dirname(folder)) {
    try {
      await stat(folder);
      return folder;
    } catch (error) {
      if (!isAbsent(error) || folder === dirname(folder)) throw error;
    }
  }
}

function defaultStageCommand(): readonly string[] {
  return [join(packageRoot(), 'src', 'cli', 'drq.js'), 'exec-stage'];
}

function finishRecord(run: Run): RunRecord {
  const { pipeline, runId, startedAt, records, selection } = run;
  const finishedAt = new Date();
  const stages = selection.nodes.flatMap((node) => records.get(node.id) ?? []);
  const count = (outcome: StageRecord['outcome']): number =>
    stages.filter((stage) => stage.outcome === outcome).length;
  return {
    format: 1,
    runId,
    pipeline: pipeline.name,
    profile: pipeline.profile,
    startedAt: startedAt.toISOString(),
    finishedAt: finishedAt.toISOString(),
    durationMs: finishedAt.getTime() - startedAt.getTime(),
    drqVersion: drqVersion(),
    nodeVersion: process.version,
    machine: describeMachine(),
    interrupted: run.signal.aborted,
    ran: count('run'),
    restored: count('restore'),
    upToDate: count('up-to-date'),
    failed: count('failed'),
    skipped: count('skipped'),
    stages,
  };
}
