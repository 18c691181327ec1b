import type { StageId, StageNode } from '../pipeline/spec.ts';
import { upstreamOf } from '../plan/select-stages.ts';

export type StageOutcome = 'done' | 'failed' | 'interrupted';

/** What a stage turned out to need once all its inputs were known. */
export type Settled =
  | { readonly type: 'settled'; readonly outcome: StageOutcome }
  | { readonly type: 'to-run'; readonly run: () => Promise<StageOutcome> };

export interface Schedule {
  /** In topological order. */
  readonly nodes: readonly StageNode[];
  /** Stages at once. */
  readonly jobs: number;
  /** Cores all running stages share. */
  readonly coreCount: number;
  readonly keepGoing: boolean;
  readonly signal: AbortSignal;
  /** Called once every stage upstream is done: restores, or tells how to run. */
  settle(node: StageNode): Promise<Settled>;
  /** A stage that will not run because of another. */
  skip(node: StageNode, because: StageId): void;
  /** Called at the first failure when the run does not keep going. */
  stopOthers(): void;
}

/** Cores a stage takes of those there are. */
export function cpuCountOf(node: StageNode, coreCount: number): number {
  const { cpuCount } = node.resources;
  return cpuCount === 'all' ? coreCount : Math.max(1, Math.min(cpuCount, coreCount));
}

/**
 * Runs stages as their inputs become known: several at once within `jobs` and the cores, those that
 * measure with nothing beside them. Resolves when nothing is left that can run.
 */
export async function runSchedule(schedule: Schedule): Promise<void> {
  const state: State = {
    waiting: new Set(schedule.nodes),
    ready: new Map(),
    running: new Map(),
    outcomes: new Map(),
    firstFailure: null,
  };
  try {
    for (;;) {
      while (await settleOne(schedule, state));
      startWhatFits(schedule, state);
      if (state.running.size === 0) break;
      await Promise.race([...state.running.values()].map(({ ended }) => ended));
    }
  } catch (error) {
    schedule.stopOthers();
    await Promise.allSettled([...state.running.values()].map(({ ended }) => ended));
    throw error;
  }
  for (const node of [...state.ready.keys(), ...state.waiting]) {
    if (state.firstFailure !== null) schedule.skip(node, state.firstFailure);
  }
}

interface State {
  readonly waiting: Set<StageNode>;
  /** Settled, to be run when there is room, in the order of the pipeline. */
  readonly ready: Map<StageNode, () => Promise<StageOutcome>>;
  readonly running: Map<StageNode, { readonly cpuCount: number; readonly ended: Promise<void> }>;
  readonly outcomes: Map<StageId, StageOutcome | { readonly skippedBecause: StageId }>;
  firstFailure: StageId | null;
}

/** Settles the first stage whose upstream is known; false when there is none. */
async function settleOne(schedule: Schedule, state: State): Promise<boolean> {
  if (isStopping(schedule, state)) return false;
  for (const node of state.waiting) {
    const upstream = upstreamOf(node).map((id) => [id, state.outcomes.get(id)] as const);
    const broken = upstream.find(([, outcome]) => outcome !== undefined && outcome !== 'done');
    if (broken !== undefined) {
      const [id, outcome] = broken;
      const because = typeof outcome === 'object' ? outcome.skippedBecause : id;
      state.waiting.delete(node);
      state.outcomes.set(node.id, { skippedBecause: because });
      if (outcome !== 'interrupted') schedule.skip(node, because);
      return true;
    }
    if (upstream.some(([, outcome]) => outcome === undefined)) continue;
    state.waiting.delete(node);
    const settled = await schedule.settle(node);
    if (settled.type === 'to-run') state.ready.set(node, settled.run);
    else noteOutcome(schedule, state, node, settled.outcome);
    return true;
  }
  return false;
}

function startWhatFits(schedule: Schedule, state: State): void {
  if (isStopping(schedule, state)) return;
  for (const [node, run] of state.ready) {
    const cpuCount = cpuCountOf(node, schedule.coreCount);
    if (!fits(schedule, state, node, cpuCount)) continue;
    state.ready.delete(node);
    const ended = run().then((outcome) => {
      state.running.delete(node);
      noteOutcome(schedule, state, node, outcome);
    });
    ended.catch(() => undefined); // the loop's race or its final wait sees the error
    state.running.set(node, { cpuCount, ended });
  }
}

function fits(schedule: Schedule, state: State, node: StageNode, cpuCount: number): boolean {
  if (state.running.size === 0) return true;
  if (state.running.size >= schedule.jobs || node.definition.scheduling === 'alone') return false;
  let usedCpus = 0;
  for (const [other, { cpuCount: used }] of state.running) {
    if (other.definition.scheduling === 'alone') return false;
    usedCpus += used;
  }
  return usedCpus + cpuCount <= schedule.coreCount;
}

function noteOutcome(
  schedule: Schedule,
  state: State,
  node: StageNode,
  outcome: StageOutcome,
): void {
  state.outcomes.set(node.id, outcome);
  // Stopped because another failed: it says nothing of its own.
  if (outcome === 'interrupted' && state.firstFailure !== null && !schedule.signal.aborted) {
    schedule.skip(node, state.firstFailure);
  }
  if (outcome !== 'failed') return;
  state.firstFailure ??= node.id;
  if (!schedule.keepGoing) schedule.stopOthers();
}

function isStopping(schedule: Schedule, state: State): boolean {
  return schedule.signal.aborted || (state.firstFailure !== null && !schedule.keepGoing);
}
