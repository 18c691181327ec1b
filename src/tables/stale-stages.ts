import { ownValue } from '../diagnostics/own-value.ts';
import type { StageId } from '../pipeline/spec.ts';
import type { Plan } from '../plan/planned-stage.ts';
import type { PipelineLock } from '../store/pipeline-lock.ts';

/**
 * Stages whose recorded figures belong to other parameters or inputs than the pipeline has now, with
 * what to say of them. A result that is only missing on this machine does not make figures stale.
 */
export function findStaleStages(
  plan: Plan,
  lock: PipelineLock | null,
): ReadonlyMap<string, string> {
  const stale = new Map<StageId, string>();
  for (const stage of plan.stages) {
    const locked = ownValue(lock?.stages ?? {}, stage.stageId);
    if (locked === undefined) continue;
    const isStale =
      stage.action === 'waits'
        ? stage.waitsFor.some((id) => stale.has(id))
        : stage.key !== locked.key;
    if (isStale) stale.set(stage.stageId, `${stage.stageId} has not run since it changed`);
  }
  return stale;
}
