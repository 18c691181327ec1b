import { ownValue } from '../diagnostics/own-value.ts';
import type { StageId } from '../pipeline/spec.ts';
import type { Plan } from '../plan/planned-stage.ts';
import type { PipelineLock } from '../store/pipeline-lock.ts';

/** `changed`: its recorded figures are of other parameters or inputs; `never-run`: there are none. */
export type Staleness = 'changed' | 'never-run';

/**
 * Stages without figures of the parameters and inputs that the pipeline has now. A result that is only
 * missing on this machine does not make figures stale.
 */
export function findStaleStages(
  plan: Plan,
  lock: PipelineLock | null,
): ReadonlyMap<StageId, Staleness> {
  const stale = new Map<StageId, Staleness>();
  for (const stage of plan.stages) {
    const locked = ownValue(lock?.stages ?? {}, stage.stageId);
    const isStale =
      stage.action === 'waits'
        ? stage.waitsFor.some((id) => stale.has(id))
        : stage.action === 'fails' || stage.key !== locked?.key;
    if (locked === undefined) stale.set(stage.stageId, 'never-run');
    else if (isStale) stale.set(stage.stageId, 'changed');
  }
  return stale;
}

/**
 * What to say of each stage in the rows of a table. It names a stage without its cell, which the labels
 * of the row tell, and none where its old figures are shown: rows that share a remark are listed with it
 * once.
 */
export function staleRemarks(
  stale: ReadonlyMap<StageId, Staleness>,
  oldFigures: 'left-out' | 'shown',
): ReadonlyMap<StageId, string> {
  const remark = (id: StageId, staleness: Staleness): string => {
    const [name = id] = id.split('@', 1);
    if (staleness === 'never-run') return `${name} has not been run`;
    return oldFigures === 'left-out'
      ? `${name} has not run since it changed`
      : 'figures of an earlier run, before the pipeline changed';
  };
  return new Map([...stale].map(([id, staleness]) => [id, remark(id, staleness)]));
}
