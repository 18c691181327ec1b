import { rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { DataError, InternalError } from '../diagnostics/errors.ts';
import { ownValue } from '../diagnostics/own-value.ts';
import type { StageNode } from '../pipeline/spec.ts';
import type { InspectedStage } from '../plan/inspect-stage.ts';
import { outputPath } from '../plan/output-path.ts';
import { resolveInputs, type StageArtifacts } from '../plan/resolve-inputs.ts';
import type { Artifact } from '../stage/artifact.ts';
import { readMetricsFile } from '../stage/metrics-file.ts';
import { checkOutputForm } from '../store/artifact-store.ts';
import type { StageResult } from '../store/stage-result.ts';
import { acquireLock, waitingText, type HeldLock } from '../store/stage-lock.ts';
import type { StageListener, StageRequest } from './executor.ts';
import type { RunContext } from './run-context.ts';
import { cpuCountOf } from './schedule.ts';
import { createWorkFolder, removeWorkFolder, type WorkFolder } from './work-folder.ts';

export interface StageRun {
  readonly node: StageNode;
  readonly inspected: InspectedStage;
  readonly work: WorkFolder;
  readonly listener: StageListener;
  /** Warnings so far; the listener adds to them. */
  readonly warnings: readonly string[];
}

/** Waits until no other process works on the same key. */
export function lockStage(context: RunContext, node: StageNode, key: string): Promise<HeldLock> {
  const path = join(context.store.folder, 'locks', `${key}.lock`);
  return acquireLock({
    path,
    what: `stage ${node.id} of pipeline ${context.pipeline.name}, run ${context.runId}`,
    onWait: (owner) =>
      context.emit({
        type: 'lock-waiting',
        stageId: node.id,
        message: waitingText(owner, path, 'runs the same'),
      }),
    signal: context.signal,
  });
}

/**
 * Runs a stage in its work folder and stores what it wrote; the result is written last. The work
 * folder is removed when all went well and kept otherwise.
 */
export async function runStage(context: RunContext, run: StageRun): Promise<StageResult> {
  const { node, inspected, work } = run;
  const startedAt = new Date();
  await createWorkFolder(work, node);
  await context.executor.run({
    request: requestOf(context, run),
    definition: node.definition,
    listener: run.listener,
    signal: context.signal,
  });
  // A stage may also end early and quietly when it is aborted: its outputs are not to be trusted.
  context.signal.throwIfAborted();
  await checkInputsUnchanged(context, run);
  for (const [name, { kind }] of Object.entries(node.outputs)) {
    await checkOutputForm(kind, ownValue(work.outputs, name) ?? '', name);
  }
  const metrics = await collectMetrics(node, work);
  const outputs: Record<string, Artifact> = {};
  for (const [name, { kind }] of Object.entries(node.outputs)) {
    outputs[name] = await context.store.artifacts.commit(
      kind,
      ownValue(work.outputs, name) ?? '',
      name,
    );
  }
  const { fingerprint, key } = inspected;
  const result: StageResult = {
    format: 1,
    key,
    kind: fingerprint.kind,
    version: fingerprint.version,
    parameters: structuredClone(fingerprint.parameters) as StageResult['parameters'],
    inputs: { ...fingerprint.inputs },
    runtimes: { ...fingerprint.runtimes },
    ...(fingerprint.source === undefined ? {} : { source: fingerprint.source }),
    ...(fingerprint.machine === undefined ? {} : { machine: fingerprint.machine }),
    outputs,
    metrics,
    warnings: [...run.warnings],
    origin: {
      runId: context.runId,
      stageId: node.id,
      host: hostname(),
      startedAt: startedAt.toISOString(),
      durationMs: Date.now() - startedAt.getTime(),
    },
  };
  await context.store.results.write(result);
  await rm(context.store.checkpointPath(key), { recursive: true, force: true });
  await placeOutputs(context, node, outputs);
  await removeWorkFolder(work);
  return result;
}

/** Puts a stage's outputs where people and the stages downstream read them. */
export async function placeOutputs(
  { pipeline, store }: RunContext,
  node: StageNode,
  outputs: StageArtifacts,
): Promise<void> {
  for (const name of Object.keys(node.outputs)) {
    const artifact = ownValue(outputs, name);
    if (artifact === undefined) throw new InternalError(`result of ${node.id} lacks ${name}`);
    await store.copies.materialize(artifact, outputPath(pipeline, node.id, name));
  }
}

function requestOf(context: RunContext, { node, inspected, work }: StageRun): StageRequest {
  return {
    stageId: node.id,
    kind: node.definition.kind,
    modulePath: node.ownKind?.modulePath ?? null,
    sourceDigest: node.ownKind?.sourceDigest ?? null,
    parameters: node.parameters,
    inputs: inspected.inputs,
    outputs: work.outputs,
    declaredOutputPaths: Object.fromEntries(
      Object.entries(node.outputs).flatMap(([name, { path }]) =>
        path === undefined ? [] : [[name, path]],
      ),
    ),
    workFolder: work.path,
    scratchPath: work.scratchPath,
    checkpointPath: context.store.checkpointPath(inspected.key),
    logPath: work.logPath,
    cpuCount: cpuCountOf(node, context.coreCount),
    projectRoot: context.pipeline.projectRoot,
  };
}

/** A file edited while a stage read it would give a result under the key of what it was before. */
async function checkInputsUnchanged(
  context: RunContext,
  { node, inspected }: StageRun,
): Promise<void> {
  const { pipeline, store, artifacts } = context;
  const now = await resolveInputs(node, { pipeline, artifacts, cache: store.cache });
  for (const [name, input] of Object.entries(node.inputs)) {
    const before = ownValue(inspected.inputs, name);
    if (input.from === 'path') {
      if (now[name]?.digest !== before?.digest) {
        throw changedInput(name, input.absolutePath, LEAVE_ALONE);
      }
      continue;
    }
    const artifact = artifacts.get(input.stageId)?.[input.output];
    if (artifact === undefined || before === undefined) continue;
    const stored = await store.artifacts.inspect(artifact);
    const listing = stored.state === 'sound' ? stored.listing : undefined;
    const isCurrent =
      listing !== undefined &&
      (await store.copies.inspect(artifact, listing, before.path)) === 'current';
    if (!isCurrent) throw changedInput(name, before.path, WORK_ON_COPY);
  }
}

const LEAVE_ALONE = 'leave the file alone while a run reads it, then run again';
/** Nobody else has reason to touch what lies there, and it is read-only. */
const WORK_ON_COPY =
  'the stage itself (its program) seems to write to its input: let it work on a copy, then run again';

function changedInput(name: string, path: string, hint: string): DataError {
  return new DataError({
    code: 'data/input-changed',
    message: `input "${name}" (${path}) changed while the stage ran, so its result was not kept`,
    hint,
  });
}

/** `output/subject/name` or `output/name` → value, for the lock file. */
async function collectMetrics(
  node: StageNode,
  work: WorkFolder,
): Promise<Record<string, number | string>> {
  const metrics: Record<string, number | string> = {};
  for (const [outputName, { kind }] of Object.entries(node.outputs)) {
    const path = ownValue(work.outputs, outputName);
    if (kind !== 'metrics' || path === undefined) continue;
    const { values } = await readMetricsFile(path);
    for (const { name, value, subject } of values) {
      metrics[[outputName, ...(subject === undefined ? [] : [subject]), name].join('/')] = value;
    }
  }
  return metrics;
}
