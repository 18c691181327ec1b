import { ownValue } from '../diagnostics/own-value.ts';
import type { StageId } from '../pipeline/spec.ts';
import type { Plan, PlannedStage } from '../plan/planned-stage.ts';
import type { Digest } from '../stage/artifact.ts';
import type { LockedStage, PipelineLock } from '../store/pipeline-lock.ts';

/**
 * `changed`: its recorded figures are of other parameters or inputs; `other-machine`: of a measurement on
 * another machine, whatever else changed; `never-run`: there are none.
 */
export type Staleness = 'changed' | 'other-machine' | 'never-run';

/**
 * Stages without figures of what the pipeline is now on the machine of this fingerprint. A result that is
 * only missing here does not make figures stale, unless they were measured elsewhere.
 */
export function findStaleStages(
  plan: Plan,
  lock: PipelineLock | null,
  machine: Digest,
): ReadonlyMap<StageId, Staleness> {
  const stale = new Map<StageId, Staleness>();
  for (const stage of plan.stages) {
    const staleness = stalenessOf(stage, { lock, machine, stale });
    if (staleness !== null) stale.set(stage.stageId, staleness);
  }
  return stale;
}

/** Of these stages those measured on another machine: all that can be told where no plan can be made. */
export function findStagesOfOtherMachines(
  stageIds: Iterable<StageId>,
  lock: PipelineLock,
  machine: Digest,
): ReadonlyMap<StageId, Staleness> {
  const measured = [...stageIds].filter((id) =>
    isOfOtherMachine(ownValue(lock.stages, id), machine),
  );
  return new Map(measured.map((id) => [id, 'other-machine']));
}

function stalenessOf(
  stage: PlannedStage,
  {
    lock,
    machine,
    stale,
  }: {
    readonly lock: PipelineLock | null;
    readonly machine: Digest;
    /** Of the stages before this one. */
    readonly stale: ReadonlyMap<StageId, Staleness>;
  },
): Staleness | null {
  const locked = ownValue(lock?.stages ?? {}, stage.stageId);
  if (locked === undefined) return 'never-run';
  // Before all else: in a fresh clone a measurement waits, and its key says nothing.
  if (isOfOtherMachine(locked, machine)) return 'other-machine';
  if (stage.action !== 'waits') {
    return stage.action === 'fails' || stage.key !== locked.key ? 'changed' : null;
  }
  const before = stage.waitsFor.flatMap((id) => stale.get(id) ?? []);
  if (before.length === 0) return null;
  return before.every((each) => each === 'other-machine') ? 'other-machine' : 'changed';
}

function isOfOtherMachine(locked: LockedStage | undefined, machine: Digest): boolean {
  return locked?.machine !== undefined && locked.machine !== machine;
}

/**
 * What to say of each stage in the rows of a table. It names a stage without its cell, which the labels
 * of the row tell, and none where its figures of an earlier run are shown: rows that share a remark are
 * listed with it once.
 */
export function staleRemarks(
  stale: ReadonlyMap<StageId, Staleness>,
  oldFigures: 'left-out' | 'shown',
): ReadonlyMap<StageId, string> {
  const remark = (id: StageId, staleness: Staleness): string => {
    const [name = id] = id.split('@', 1);
    const isShown = oldFigures === 'shown';
    switch (staleness) {
      case 'never-run':
        return `${name} has not been run`;
      case 'other-machine':
        return `${name} has not been run on this machine${isShown ? '; its figures are of another' : ''}`;
      case 'changed':
        return isShown
          ? 'figures of an earlier run, before the pipeline changed'
          : `${name} has not run since it changed`;
    }
  };
  return new Map([...stale].map(([id, staleness]) => [id, remark(id, staleness)]));
}
