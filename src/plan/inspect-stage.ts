import { readdir } from 'node:fs/promises';
import { ownValue } from '../diagnostics/own-value.ts';
import type { Pipeline, StageId, StageNode } from '../pipeline/spec.ts';
import type { Digest } from '../stage/artifact.ts';
import type { ResolvedInput } from '../stage/definition.ts';
import type { LockedStage } from '../store/pipeline-lock.ts';
import type { StageResult } from '../store/stage-result.ts';
import type { Store } from '../store/store.ts';
import { decideAction, type StageDecision, type StoredState } from './decide-action.ts';
import { outputPath } from './output-path.ts';
import { resolveInputs, type StageArtifacts } from './resolve-inputs.ts';
import { installedVersion } from './runtime-versions.ts';
import { fingerprintOf, stageKey, type StageFingerprint } from './stage-key.ts';

/** What planning looks at besides the stage itself. */
export interface PlanContext {
  readonly pipeline: Pipeline;
  readonly store: Store;
  /** Stage id → what the lock file says of it. */
  readonly locked: Readonly<Record<string, LockedStage>>;
  readonly forced: ReadonlySet<StageId>;
  readonly machineFingerprint: () => Promise<Digest>;
}

export interface InspectedStage {
  readonly key: Digest;
  readonly fingerprint: StageFingerprint;
  readonly inputs: Readonly<Record<string, ResolvedInput>>;
  readonly decision: StageDecision;
  /** The stored result; present exactly when the stage need not run for lack of one. */
  readonly result: StageResult | null;
}

/** Finds a stage's key and what there is under it, once the outputs of all stages upstream are known. */
export async function inspectStage(
  context: PlanContext,
  node: StageNode,
  artifacts: ReadonlyMap<StageId, StageArtifacts>,
): Promise<InspectedStage> {
  const { pipeline, store } = context;
  const inputs = await resolveInputs(node, { pipeline, artifacts, cache: store.cache });
  const fingerprint = fingerprintOf({
    node,
    inputs: Object.fromEntries(Object.entries(inputs).map(([name, { digest }]) => [name, digest])),
    runtimeVersion: installedVersion,
    machine: node.definition.cache === 'per-machine' ? await context.machineFingerprint() : null,
  });
  const key = stageKey(fingerprint);
  const stored = await inspectStored(context, node, key);
  const locked = ownValue(context.locked, node.id);
  const forced = context.forced.has(node.id);
  const decision = decideAction({ key, fingerprint, forced, locked, stored });
  const result = stored.state === 'sound' ? stored.result : null;
  return { key, fingerprint, inputs, decision, result };
}

async function inspectStored(
  { store, pipeline }: PlanContext,
  node: StageNode,
  key: Digest,
): Promise<StoredState> {
  const result = await store.results.read(key);
  if (result === 'absent') {
    const left = await readdir(store.checkpointPath(key)).catch(() => []); // none, or it cannot be read
    return { state: 'absent', hasCheckpoint: left.length > 0 };
  }
  if (result === 'damaged') return { state: 'result-damaged' };
  let copy: Extract<StoredState, { state: 'sound' }>['copy'] = null;
  for (const name of Object.keys(node.outputs)) {
    const artifact = ownValue(result.outputs, name);
    if (artifact === undefined) return { state: 'result-damaged' };
    const stored = await store.artifacts.inspect(artifact);
    if (stored.state !== 'sound') {
      return { state: `output-${stored.state}`, name, place: stored.place };
    }
    const path = outputPath(pipeline, node.id, name);
    const state = await store.copies.inspect(artifact, stored.listing, path);
    if (state !== 'current') copy ??= { name, state };
  }
  return { state: 'sound', result, copy };
}
