import { DrqError, StoreError } from '../diagnostics/errors.ts';
import type { StageNode } from '../pipeline/spec.ts';
import { inspectStage, type InspectedStage } from '../plan/inspect-stage.ts';
import { describeReasons } from '../plan/reason.ts';
import type { StageAction } from '../plan/planned-stage.ts';
import type { StageResult } from '../store/stage-result.ts';
import { ProgressMeter } from './progress-meter.ts';
import type { RunContext } from './run-context.ts';
import type { StageRecord } from './run-record.ts';
import { lockStage, placeOutputs, runStage } from './run-stage.ts';
import type { Settled, StageOutcome } from './schedule.ts';
import { describeFailure, type StageFailure } from './stage-failure.ts';
import { removeWorkFolder, workFolderOf, type WorkFolder } from './work-folder.ts';

/**
 * Decides what a stage needs, now that everything upstream is done: what is up to date or in the
 * store is finished here, at once; what must run comes back as a function for the scheduler.
 */
export async function settleStage(context: RunContext, node: StageNode): Promise<Settled> {
  const startedAt = Date.now();
  let inspected: InspectedStage;
  try {
    inspected = await inspectStage(context, node, context.artifacts);
  } catch (error) {
    // A broken store ends the run; a wrong file of the user's is this stage's failure.
    if (!(error instanceof DrqError) || error instanceof StoreError) throw error;
    const { code, message, hint } = error;
    const failure = { code, message, ...(hint === undefined ? {} : { hint }), logTail: [] };
    reportFailure(context, { node, key: null, reason: '', startedAt, work: null, failure });
    return { type: 'settled', outcome: 'failed' };
  }
  if (inspected.decision.action === 'run' || inspected.result === null) {
    return { type: 'to-run', run: () => performStage(context, node, inspected) };
  }
  await reuse(context, node, inspected, inspected.result);
  return { type: 'settled', outcome: 'done' };
}

/** Uses a stored result: nothing to do, or put in place again. */
async function reuse(
  context: RunContext,
  node: StageNode,
  { key, decision }: InspectedStage,
  result: StageResult,
): Promise<void> {
  const startedAt = Date.now();
  const { action } = decision;
  const reason = describeReasons(decision.reasons);
  context.emit({ type: 'stage-started', stageId: node.id, action, reason });
  for (const message of result.warnings) {
    context.emit({ type: 'stage-warning', stageId: node.id, message });
  }
  if (action === 'restore') {
    await placeOutputs(context, node, result.outputs);
    await context.recorder.record(node.id, result);
  }
  finish(context, { node, key, action, reason, startedAt, result });
}

/** Runs a stage, unless another process has done so meanwhile. Never throws for what the stage does. */
async function performStage(
  context: RunContext,
  node: StageNode,
  decided: InspectedStage,
): Promise<StageOutcome> {
  const startedAt = Date.now();
  const { key } = decided;
  const reason = describeReasons(decided.decision.reasons);
  let work: WorkFolder | null = null;
  let inspected = decided;
  let lock;
  let meter: ProgressMeter | null = null;
  try {
    lock = await lockStage(context, node, key);
    if (!context.forced.has(node.id)) {
      // Another process, or another cell with the same key, may have stored it since the decision.
      inspected = await inspectStage(context, node, context.artifacts);
      if (inspected.decision.action !== 'run' && inspected.result !== null) {
        await reuse(context, node, inspected, inspected.result);
        return 'done';
      }
    }
    context.signal.throwIfAborted();
    context.emit({ type: 'stage-started', stageId: node.id, action: 'run', reason });
    work = workFolderOf(context.store.folder, context.runId, node);
    const warnings: string[] = [];
    const metering = (meter = new ProgressMeter(
      (progress) => context.emit({ type: 'stage-progress', stageId: node.id, ...progress }),
      () => performance.now(),
    ));
    const listener = {
      progress: (update: Parameters<ProgressMeter['update']>[0]) => metering.update(update),
      warn: (message: string) => {
        warnings.push(message);
        context.emit({ type: 'stage-warning', stageId: node.id, message });
      },
      notice: (message: string) =>
        context.emit({ type: 'stage-notice', stageId: node.id, message }),
    };
    const result = await runStage(context, { node, inspected, work, listener, warnings });
    meter.finish();
    await context.recorder.record(node.id, result);
    finish(context, { node, key, action: 'run', reason, startedAt, result });
    return 'done';
  } catch (error) {
    meter?.finish();
    if (context.signal.aborted) {
      if (work !== null) await removeWorkFolder(work);
      const startedIso = new Date(startedAt).toISOString();
      note(context, node, {
        outcome: 'interrupted',
        key,
        reason,
        startedAt: startedIso,
        warnings: [],
      });
      return 'interrupted';
    }
    const failure = await describeFailure(error, work?.logPath ?? '');
    reportFailure(context, { node, key, reason, startedAt, work, failure });
    return 'failed';
  } finally {
    await lock?.release();
  }
}

function finish(
  context: RunContext,
  done: {
    readonly node: StageNode;
    readonly key: string;
    readonly action: StageAction;
    readonly reason: string;
    readonly startedAt: number;
    readonly result: StageResult;
  },
): void {
  const { node, key, action, reason, startedAt, result } = done;
  const durationMs = Date.now() - startedAt;
  context.artifacts.set(node.id, result.outputs);
  note(context, node, {
    outcome: action,
    key,
    reason,
    startedAt: new Date(startedAt).toISOString(),
    warnings: result.warnings,
  });
  context.emit({ type: 'stage-finished', stageId: node.id, action, key, durationMs });
}

function reportFailure(
  context: RunContext,
  failed: {
    readonly node: StageNode;
    readonly key: string | null;
    readonly reason: string;
    readonly startedAt: number;
    /** Null when the stage had not been started. */
    readonly work: WorkFolder | null;
    readonly failure: StageFailure;
  },
): void {
  const { node, key, reason, startedAt, work, failure } = failed;
  const scratchPath = work?.path ?? '';
  const logPath = work?.logPath ?? '';
  note(context, node, {
    outcome: 'failed',
    key,
    reason,
    startedAt: new Date(startedAt).toISOString(),
    warnings: [],
    error: { code: failure.code, message: failure.message, scratchPath, logPath },
  });
  context.emit({ type: 'stage-failed', stageId: node.id, ...failure, scratchPath, logPath });
}

function note(
  context: RunContext,
  node: StageNode,
  record: Omit<StageRecord, 'stageId' | 'durationMs'>,
): void {
  const durationMs = record.startedAt === null ? 0 : Date.now() - Date.parse(record.startedAt);
  context.records.set(node.id, { stageId: node.id, durationMs, ...record });
}
