import { ownValue } from '../diagnostics/own-value.ts';
import type { PipelineLock, LockedStage } from '../store/pipeline-lock.ts';

/** One value on both sides; undefined where a side does not have it. */
export interface ValueChange {
  /** Dotted path of a parameter, name of an output or library, path of a metric. */
  readonly path: string;
  readonly before: unknown;
  readonly after: unknown;
}

export interface StageDiff {
  readonly stageId: string;
  /** Kind and version of the stage's definition, source of a kind of the user's own, machine measured on. */
  readonly definition: readonly ValueChange[];
  readonly parameters: readonly ValueChange[];
  readonly inputs: readonly ValueChange[];
  readonly outputs: readonly ValueChange[];
  readonly runtimes: readonly ValueChange[];
  readonly metrics: readonly ValueChange[];
}

/** What differs between two locks of a pipeline. */
export interface LockDiff {
  readonly pipeline: string;
  readonly profile: ValueChange | null;
  readonly onlyInA: readonly string[];
  readonly onlyInB: readonly string[];
  readonly commonStageCount: number;
  /** Stages in both that differ in anything, in the order of B. */
  readonly changed: readonly StageDiff[];
}

/** Compares stage by stage; what one side only has is listed, not compared. */
export function diffLocks(a: PipelineLock, b: PipelineLock): LockDiff {
  const common = Object.keys(b.stages).filter((id) => Object.hasOwn(a.stages, id));
  const changed: StageDiff[] = [];
  for (const stageId of common) {
    const before = ownValue(a.stages, stageId);
    const after = ownValue(b.stages, stageId);
    if (before === undefined || after === undefined) continue;
    const diff = diffStages(stageId, before, after);
    if (isDifferent(diff)) changed.push(diff);
  }
  return {
    pipeline: a.pipeline === b.pipeline ? b.pipeline : `${a.pipeline} → ${b.pipeline}`,
    profile:
      a.profile === b.profile ? null : { path: 'profile', before: a.profile, after: b.profile },
    onlyInA: Object.keys(a.stages).filter((id) => !Object.hasOwn(b.stages, id)),
    onlyInB: Object.keys(b.stages).filter((id) => !Object.hasOwn(a.stages, id)),
    commonStageCount: common.length,
    changed,
  };
}

function diffStages(stageId: string, a: LockedStage, b: LockedStage): StageDiff {
  const digests = (stage: LockedStage): Record<string, string> =>
    Object.fromEntries(Object.entries(stage.outputs).map(([name, { digest }]) => [name, digest]));
  return {
    stageId,
    definition: diffValues(definitionOf(a), definitionOf(b)),
    parameters: diffValues(flatten(a.parameters), flatten(b.parameters)),
    inputs: diffValues(a.inputs, b.inputs),
    outputs: diffValues(digests(a), digests(b)),
    runtimes: diffValues(a.runtimes, b.runtimes),
    metrics: diffValues(a.metrics, b.metrics),
  };
}

function definitionOf({ kind, version, source, machine }: LockedStage): Record<string, unknown> {
  return { kind, version, source, machine };
}

function isDifferent(diff: StageDiff): boolean {
  const { definition, parameters, inputs, outputs, runtimes, metrics } = diff;
  return [definition, parameters, inputs, outputs, runtimes, metrics].some(
    (changes) => changes.length > 0,
  );
}

/** Every path whose values differ, those of `a` first. */
export function diffValues(
  a: Readonly<Record<string, unknown>>,
  b: Readonly<Record<string, unknown>>,
): ValueChange[] {
  const paths = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  return paths
    .map((path) => ({ path, before: ownValue(a, path), after: ownValue(b, path) }))
    .filter(({ before, after }) => JSON.stringify(before) !== JSON.stringify(after));
}

/** `{ a: { b: 1 } }` → `{ 'a.b': 1 }`; lists stay whole, they are read as one value. */
export function flatten(value: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const flat: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(value)) {
    const isObject = typeof item === 'object' && item !== null && !Array.isArray(item);
    if (!isObject || Object.keys(item).length === 0) {
      flat[name] = item;
      continue;
    }
    for (const [path, leaf] of Object.entries(flatten(item as Record<string, unknown>))) {
      flat[`${name}.${path}`] = leaf;
    }
  }
  return flat;
}
