import { ownValue } from '../diagnostics/own-value.ts';
import type { StageAction } from './planned-stage.ts';
import type { Digest } from '../stage/artifact.ts';
import type { LockedStage } from '../store/pipeline-lock.ts';
import type { StageResult } from '../store/stage-result.ts';
import type { CopyState } from '../store/working-copies.ts';
import { compareFingerprints } from './compare-fingerprints.ts';
import type { RunReason } from './reason.ts';
import type { StageFingerprint } from './stage-key.ts';

export type StoredState =
  /** `hasCheckpoint`: an attempt that did not end left something to go on from. */
  | { readonly state: 'absent'; readonly hasCheckpoint: boolean }
  | { readonly state: 'result-damaged' }
  | {
      readonly state: 'output-missing' | 'output-damaged';
      readonly name: string;
      readonly place: string;
    }
  | {
      readonly state: 'sound';
      readonly result: StageResult;
      /** The first working copy that is not what it should be. */
      readonly copy: null | {
        readonly name: string;
        readonly state: Exclude<CopyState, 'current'>;
      };
    };

/** All a decision rests on. */
export interface StageEvidence {
  readonly key: Digest;
  readonly fingerprint: StageFingerprint;
  readonly forced: boolean;
  readonly locked: LockedStage | undefined;
  readonly stored: StoredState;
}

export interface StageDecision {
  readonly action: StageAction;
  /** Empty when the stage is up to date. */
  readonly reasons: readonly RunReason[];
}

/** What to do with a stage whose inputs are known, and why. Pure: `plan` and `run` both use it. */
export function decideAction(evidence: StageEvidence): StageDecision {
  const { key, forced, locked, stored } = evidence;
  if (forced) return { action: 'run', reasons: [{ type: 'forced' }] };
  switch (stored.state) {
    case 'result-damaged':
      return { action: 'run', reasons: [{ type: 'stored-result-damaged' }] };
    case 'output-missing':
    case 'output-damaged': {
      const state = stored.state === 'output-missing' ? 'missing' : 'damaged';
      const { name, place } = stored;
      return { action: 'run', reasons: [{ type: 'stored-output', name, state, place }] };
    }
    case 'absent':
      return { action: 'run', reasons: whyAbsent(evidence, stored.hasCheckpoint) };
    case 'sound':
      if (locked?.key === key && stored.copy === null && saysTheSame(locked, stored.result)) {
        return { action: 'up-to-date', reasons: [] };
      }
      return {
        action: 'restore',
        reasons: changes(
          evidence,
          stored.copy === null
            ? { type: 'lock-differs' }
            : { type: 'working-copy', name: stored.copy.name, state: stored.copy.state },
        ),
      };
    default:
      return stored satisfies never;
  }
}

function whyAbsent(evidence: StageEvidence, hasCheckpoint: boolean): readonly RunReason[] {
  const reasons = changes(evidence, { type: 'not-stored' });
  if (!hasCheckpoint) return reasons;
  return [{ type: 'checkpoint' }, ...reasons.filter(({ type }) => type !== 'never-run')];
}

/** What changed since the lock file was written; `otherwise` when the key is the same. */
function changes(evidence: StageEvidence, otherwise: RunReason): readonly RunReason[] {
  const { locked, fingerprint, key, stored } = evidence;
  if (locked === undefined)
    return [{ type: stored.state === 'sound' ? 'not-locked' : 'never-run' }];
  return locked.key === key ? [otherwise] : compareFingerprints(locked, fingerprint);
}

/** Whether the lock file has the outputs and metrics of the result: an edit or a merge may have changed them. */
function saysTheSame(locked: LockedStage, result: StageResult): boolean {
  const outputs = Object.entries(result.outputs);
  const metrics = Object.entries(result.metrics);
  return (
    outputs.length === Object.keys(locked.outputs).length &&
    outputs.every(([name, { digest }]) => ownValue(locked.outputs, name)?.digest === digest) &&
    metrics.length === Object.keys(locked.metrics).length &&
    metrics.every(([name, value]) => ownValue(locked.metrics, name) === value)
  );
}
