import { relative } from 'node:path';
import { UsageError } from '../../diagnostics/errors.ts';
import { nameHint } from '../../diagnostics/nearest-name.ts';
import { ownValue } from '../../diagnostics/own-value.ts';
import type { NodeInput, Pipeline, StageId, StageNode } from '../../pipeline/spec.ts';
import { inspectStage, type InspectedStage, type PlanContext } from '../../plan/inspect-stage.ts';
import { describeReason } from '../../plan/reason.ts';
import { checkPathInputs, type StageArtifacts } from '../../plan/resolve-inputs.ts';
import { selectStages, upstreamOf } from '../../plan/select-stages.ts';
import { KEY_FORMAT } from '../../plan/stage-key.ts';
import { readPipelineLock } from '../../store/lock-file.ts';
import type { LockedStage } from '../../store/pipeline-lock.ts';
import { openStore } from '../../store/store.ts';
import { diffValues, flatten } from '../../tables/lock-diff.ts';
import type { CommandCall } from '../command-context.ts';
import { loadPipelineFile } from '../load-pipeline-file.ts';
import { machineFingerprint } from '../machine-fingerprint.ts';

/** What is known of one stage: all of it, or that stages before it must run first. */
type Explanation =
  | { readonly type: 'known'; readonly inspected: InspectedStage }
  | { readonly type: 'waits'; readonly waitsFor: readonly StageId[] };

/** `drq why FILE STAGE`: the document its key is made of, and what in it changed since the last run. */
export async function why(call: CommandCall): Promise<number> {
  const [file = '', name = ''] = call.arguments; // the command line requires both
  const pipeline = await loadPipelineFile(file, call);
  const node = findNode(pipeline, name);
  const lock = await readPipelineLock(pipeline.projectRoot, pipeline.name);
  const context: PlanContext = {
    pipeline,
    store: await openStore(pipeline.projectRoot),
    locked: lock?.stages ?? {},
    forced: new Set(),
    machineFingerprint,
  };
  const explanation = await explain(context, node);
  await context.store.cache.save();
  const locked = ownValue(context.locked, node.id);
  call.context.print(
    call.options.json === true
      ? JSON.stringify(toJson(node, explanation, locked), null, 2)
      : describe(pipeline, node, explanation, locked),
  );
  return 0;
}

function findNode(pipeline: Pipeline, name: string): StageNode {
  const nodes = [...pipeline.graph.nodes.values()];
  const [found, ...others] = nodes.filter(({ id, stageName }) => id === name || stageName === name);
  if (found !== undefined && others.length === 0) return found;
  if (found !== undefined) {
    throw new UsageError({
      code: 'usage/several-cells',
      message: `stage "${name}" has ${others.length + 1} cells; ask about one of them`,
      hint: `for instance ${found.id}`,
    });
  }
  const hint = nameHint(
    name,
    nodes.map(({ id }) => id),
  );
  throw new UsageError({
    code: 'usage/unknown-stage',
    message: `pipeline ${pipeline.name} has no stage "${name}"`,
    ...(hint === undefined ? {} : { hint }),
  });
}

/** Goes through the stages before it in order, as planning does, and keeps everything of the last one. */
async function explain(context: PlanContext, target: StageNode): Promise<Explanation> {
  const artifacts = new Map<StageId, StageArtifacts>();
  for (const node of selectStages(context.pipeline, [target.id]).nodes) {
    const waitsFor = upstreamOf(node).filter((id) => !artifacts.has(id));
    if (node.id === target.id && waitsFor.length > 0) return { type: 'waits', waitsFor };
    if (waitsFor.length > 0) continue;
    await checkPathInputs(node, context.pipeline);
    const inspected = await inspectStage(context, node, artifacts);
    if (node.id === target.id) return { type: 'known', inspected };
    const { decision, result } = inspected;
    if (decision.action !== 'run' && result !== null) artifacts.set(node.id, result.outputs);
  }
  return { type: 'waits', waitsFor: [] };
}

function toJson(
  node: StageNode,
  explanation: Explanation,
  locked: LockedStage | undefined,
): Record<string, unknown> {
  const common = { stageId: node.id, locked: locked ?? null };
  if (explanation.type === 'waits') {
    return { ...common, action: 'waits', waitsFor: explanation.waitsFor };
  }
  const { key, fingerprint, decision } = explanation.inspected;
  return { ...common, ...decision, key, document: { format: KEY_FORMAT, ...fingerprint } };
}

function describe(
  pipeline: Pipeline,
  node: StageNode,
  explanation: Explanation,
  locked: LockedStage | undefined,
): string {
  const lines: string[] = [];
  if (explanation.type === 'waits') {
    lines.push(`${node.id}: waits for ${explanation.waitsFor.join(', ')}`, '');
    lines.push('  its key depends on what those stages will write; known already:');
    lines.push(...describeParameterChanges(node, locked));
  } else {
    const { decision } = explanation.inspected;
    lines.push(`${node.id}: ${decision.action === 'up-to-date' ? 'up to date' : decision.action}`);
    lines.push(...decision.reasons.map((reason) => `  because ${describeReason(reason)}`));
  }
  lines.push('', 'inputs:', ...describeInputs(pipeline, node, explanation, locked));
  if (explanation.type === 'known') {
    const { key, fingerprint } = explanation.inspected;
    lines.push('', `key ${key}`);
    if (locked !== undefined && locked.key !== key) lines.push(`was ${locked.key}`);
    lines.push('', 'is the SHA-256 of this document:');
    lines.push(JSON.stringify({ format: KEY_FORMAT, ...fingerprint }, null, 2));
  }
  return lines.join('\n');
}

function describeParameterChanges(node: StageNode, locked: LockedStage | undefined): string[] {
  if (locked === undefined) return ['  never run'];
  const changes = diffValues(flatten(locked.parameters), flatten(node.parameters));
  if (changes.length === 0) return ['  parameters unchanged'];
  return changes.map(
    ({ path, before, after }) => `  parameters.${path} ${valueText(before)} → ${valueText(after)}`,
  );
}

function valueText(value: unknown): string {
  return value === undefined ? '(none)' : JSON.stringify(value);
}

function describeInputs(
  pipeline: Pipeline,
  node: StageNode,
  explanation: Explanation,
  locked: LockedStage | undefined,
): string[] {
  const names = Object.entries(node.inputs);
  if (names.length === 0) return ['  (none)'];
  return names.map(([name, input]) => {
    const before = ownValue(locked?.inputs ?? {}, name);
    const after =
      explanation.type === 'known'
        ? ownValue(explanation.inspected.inputs, name)?.digest
        : undefined;
    const change =
      before === undefined || after === undefined || before === after
        ? ''
        : `, was ${before.slice(0, 12)}`;
    const digest = after === undefined ? 'not known yet' : after.slice(0, 12);
    return `  ${name}: ${describeSource(pipeline, input)}  ${digest}${change}`;
  });
}

function describeSource(pipeline: Pipeline, input: NodeInput): string {
  if (input.from === 'stage') return `${input.stageId}/${input.output} (${input.kind})`;
  const path = relative(pipeline.projectRoot, input.absolutePath);
  return path.startsWith('..') ? input.absolutePath : path || '.';
}
