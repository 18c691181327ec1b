import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { ownValue } from '../../diagnostics/own-value.ts';
import type { Pipeline } from '../../pipeline/spec.ts';
import { projectRootOf } from '../../pipeline/project-root.ts';
import { planPipeline } from '../../plan/make-plan.ts';
import { outputPath } from '../../plan/output-path.ts';
import type { PlannedStage } from '../../plan/planned-stage.ts';
import type { Artifact } from '../../stage/artifact.ts';
import { readPipelineLock } from '../../store/lock-file.ts';
import type { LockedStage } from '../../store/pipeline-lock.ts';
import { openStore, type Store } from '../../store/store.ts';
import { systemErrorCode } from '../../store/system-error.ts';
import type { CommandCall } from '../command-context.ts';
import { givenRoot } from '../given-root.ts';
import { loadPipelineFile } from '../load-pipeline-file.ts';
import { machineFingerprint } from '../machine-fingerprint.ts';

interface StageStatus {
  readonly stageId: string;
  readonly state: PlannedStage['action'];
  readonly reason: string;
  /** From the stored result; null when this machine has none. */
  readonly startedAt: string | null;
  readonly durationMs: number | null;
  readonly key: string | null;
  readonly outputs: Readonly<Record<string, Artifact & { readonly path: string }>>;
}

/** `drq status [FILE]`: the stages of a pipeline as they were last run, or all pipelines of the project. */
export async function status(call: CommandCall): Promise<number> {
  const [file] = call.arguments;
  return file === undefined ? projectStatus(call) : pipelineStatus(file, call);
}

async function pipelineStatus(file: string, call: CommandCall): Promise<number> {
  const pipeline = await loadPipelineFile(file, call);
  const plan = await planPipeline(pipeline, { stages: [], force: false, machineFingerprint });
  const lock = await readPipelineLock(pipeline.projectRoot, pipeline.name);
  const store = await openStore(pipeline.projectRoot);
  const stages = await Promise.all(
    plan.stages.map((planned) =>
      stageStatus(pipeline, store, planned, ownValue(lock?.stages ?? {}, planned.stageId)),
    ),
  );
  const { context, options } = call;
  context.print(
    options.json === true
      ? JSON.stringify({ pipeline: pipeline.name, profile: lock?.profile ?? null, stages }, null, 2)
      : stages.map((stage) => describeStage(stage, context.cwd)).join('\n'),
  );
  return 0;
}

async function stageStatus(
  pipeline: Pipeline,
  store: Store,
  planned: PlannedStage,
  locked: LockedStage | undefined,
): Promise<StageStatus> {
  const result = locked === undefined ? 'absent' : await store.results.read(locked.key);
  const origin = typeof result === 'string' ? null : result.origin;
  const node = pipeline.graph.nodes.get(planned.stageId);
  const outputs = Object.entries(locked?.outputs ?? {})
    // An output that the stage no longer has is not shown: it has no path either.
    .filter(([name]) => Object.hasOwn(node?.outputs ?? {}, name))
    .map(([name, artifact]) => [
      name,
      { ...artifact, path: outputPath(pipeline, planned.stageId, name) },
    ]);
  return {
    stageId: planned.stageId,
    state: planned.action,
    reason: planned.reason,
    startedAt: origin?.startedAt ?? null,
    durationMs: origin?.durationMs ?? null,
    key: locked?.key ?? null,
    outputs: Object.fromEntries(outputs) as StageStatus['outputs'],
  };
}

function describeStage(stage: StageStatus, cwd: string): string {
  const state = {
    run: 'must run',
    restore: 'can be restored',
    'up-to-date': 'up to date',
    waits: 'waits',
    fails: 'cannot run',
  }[stage.state];
  const facts = [
    ...(stage.reason === '' ? [] : [stage.reason]),
    ...(stage.startedAt === null
      ? []
      : [
          `ran ${stage.startedAt.slice(0, 19).replace('T', ' ')}, ${formatDuration(stage.durationMs ?? 0)}`,
        ]),
    ...(stage.key === null ? [] : [`key ${stage.key.slice(0, 12)}`]),
  ];
  const lines = [`${stage.stageId}: ${state}${facts.length === 0 ? '' : ` (${facts.join('; ')})`}`];
  for (const [name, { kind, digest, sizeBytes, path }] of Object.entries(stage.outputs)) {
    lines.push(
      `  ${name}  ${kind}  ${digest.slice(0, 12)}  ${sizeBytes} bytes  ${describePlace(path, cwd)}`,
    );
  }
  return lines.join('\n');
}

/** The lock file is committed, the outputs are not: in a fresh clone there is nothing to look at. */
function describePlace(path: string, cwd: string): string {
  if (!existsSync(path)) return 'not on this machine';
  const place = relative(cwd, path);
  return place.startsWith('..') ? path : place;
}

function formatDuration(durationMs: number): string {
  return durationMs < 1000 ? `${Math.round(durationMs)} ms` : `${(durationMs / 1000).toFixed(1)} s`;
}

/** Without a file: one line for each pipeline that has a lock. */
async function projectStatus(call: CommandCall): Promise<number> {
  const { options, context } = call;
  const root = (await givenRoot(call)) ?? projectRootOf(join(context.cwd, 'pipeline.yaml'));
  const names = await namesIn(join(root, 'experiments'));
  const locks = [];
  for (const name of names) {
    const lock = await readPipelineLock(root, name);
    if (lock !== null) locks.push(lock);
  }
  if (options.json === true) {
    context.print(JSON.stringify(locks, null, 2));
    return 0;
  }
  if (locks.length === 0) context.say(`no pipeline has been run in ${root}`);
  for (const { pipeline, profile, stages } of locks) {
    const count = Object.keys(stages).length;
    const recorded = `${count} ${count === 1 ? 'stage' : 'stages'} recorded`;
    context.print(
      `${pipeline}${profile === null ? '' : ` (profile ${profile})`}: ${recorded} in experiments/${pipeline}/lock.yaml`,
    );
  }
  return 0;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}
