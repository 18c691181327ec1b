import { DataError } from '../diagnostics/errors.ts';
import type { Pipeline, StageId } from '../pipeline/spec.ts';
import type { Digest } from '../stage/artifact.ts';
import { readPipelineLock } from '../store/lock-file.ts';
import { openStore } from '../store/store.ts';
import { inspectStage, type PlanContext } from './inspect-stage.ts';
import type { Plan, PlannedStage } from './planned-stage.ts';
import { describeReasons } from './reason.ts';
import { checkPathInputs, UNREADABLE_INPUT, type StageArtifacts } from './resolve-inputs.ts';
import { selectStages, upstreamOf, type StageSelection } from './select-stages.ts';

export interface PlanOptions {
  /** Names or ids; none means all. Upstream stages are included. */
  readonly stages: readonly string[];
  /** Run the named stages (or all) although nothing changed. */
  readonly force: boolean;
  /** Of this machine; joins the key of measurements. */
  readonly machineFingerprint: () => Promise<Digest>;
}

/** What a run would do now. Changes nothing but the cache of file digests. */
export async function planPipeline(pipeline: Pipeline, options: PlanOptions): Promise<Plan> {
  const selection = selectStages(pipeline, options.stages);
  const lock = await readPipelineLock(pipeline.projectRoot, pipeline.name);
  const context: PlanContext = {
    pipeline,
    store: await openStore(pipeline.projectRoot),
    locked: lock?.stages ?? {},
    forced: options.force ? selection.named : new Set(),
    machineFingerprint: options.machineFingerprint,
  };
  const plan = await makePlan(context, selection);
  await context.store.cache.save();
  return plan;
}

/** The same for a store that is open already. @throws DataError when a file of the user's is missing. */
export async function makePlan(context: PlanContext, selection: StageSelection): Promise<Plan> {
  for (const node of selection.nodes) await checkPathInputs(node, context.pipeline);
  const artifacts = new Map<StageId, StageArtifacts>();
  const stages: PlannedStage[] = [];
  for (const node of selection.nodes) {
    const waitsFor = upstreamOf(node).filter((id) => !artifacts.has(id));
    if (waitsFor.length > 0) {
      const reason = `waits for ${waitsFor.join(', ')}`;
      stages.push({ stageId: node.id, action: 'waits', waitsFor, reason });
      continue;
    }
    const inspected = await inspectStage(context, node, artifacts).catch(ignoreUnreadable);
    if (inspected instanceof DataError) {
      stages.push({ stageId: node.id, action: 'fails', reason: inspected.message });
      continue;
    }
    const { key, decision, result } = inspected;
    if (decision.action !== 'run' && result !== null) artifacts.set(node.id, result.outputs);
    stages.push({
      stageId: node.id,
      action: decision.action,
      key,
      reasons: decision.reasons,
      reason: describeReasons(decision.reasons),
      warnings: decision.action === 'run' ? [] : (result?.warnings ?? []),
    });
  }
  return { pipeline: context.pipeline.name, stages };
}

/** One file that cannot be read says nothing of the stages that do not need it. */
function ignoreUnreadable(error: unknown): DataError {
  if (error instanceof DataError && error.code === UNREADABLE_INPUT) return error;
  throw error;
}
