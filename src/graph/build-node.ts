import { isAbsolute, normalize, resolve } from 'node:path';
import type { z } from 'zod';
import { interpolate, type Scope } from '../pipeline/interpolate.ts';
import { childEntries, receivedText, type Located, type Origin } from '../pipeline/located.ts';
import { pathText } from '../diagnostics/issue-wording.ts';
import type { Problems } from '../pipeline/problems.ts';
import { declaredOutputsSchema, resourcesSchema } from '../pipeline/schema.ts';
import { checkShape } from '../pipeline/shape-diagnostics.ts';
import type { JsonObject, NodeInput, NodeOutput, StageNode } from '../pipeline/spec.ts';
import type { StageSpec } from '../pipeline/stage-spec.ts';
import type { AnyStageDefinition } from '../stage/definition.ts';
import { cellId, type Cell } from './expand-matrix.ts';
import {
  declaredInputs,
  declaredKind,
  type AcceptedKinds,
  type InputUse,
} from './resolve-inputs.ts';

/** A path that the pipeline names, to be looked at on disk once everything is read. */
export interface PathUse {
  readonly stageName: string;
  readonly inputName: string;
  readonly absolutePath: string;
  readonly kinds: AcceptedKinds;
  readonly origin: Origin;
}

export interface NodeContext {
  readonly stage: StageSpec;
  readonly cell: Cell;
  readonly uses: ReadonlyMap<string, InputUse>;
  /** Stage name → the cell of it that this cell depends on. */
  readonly from: ReadonlyMap<string, Cell>;
  readonly scope: Scope;
  readonly projectRoot: string;
  readonly cwd: string;
  readonly problems: Problems;
  /** Filled. */
  readonly pathUses: PathUse[];
}

/** The node of one cell, or undefined when something of it is wrong, which is then reported. */
export function buildNode(context: NodeContext): StageNode | undefined {
  const { stage, cell } = context;
  const { definition, ownKind } = stage;
  const inputs = nodeInputs(context);
  const resources = nodeResources(context);
  if (definition === undefined) return undefined;
  const parameters = nodeParameters(context, definition);
  const outputs = nodeOutputs(context, definition);
  if (inputs === undefined || parameters === undefined || outputs === undefined) return undefined;
  if (!hasNeededInputs(context, definition, parameters, inputs)) return undefined;
  return {
    id: cellId(stage.name, cell),
    stageName: stage.name,
    cell,
    definition,
    ...(ownKind === undefined ? {} : { ownKind }),
    parameters,
    inputs,
    outputs,
    resources: { cpuCount: resources ?? definition.defaultCpuCount },
    range: stageRange(stage),
  };
}

function hasNeededInputs(
  { stage, problems }: NodeContext,
  definition: AnyStageDefinition,
  parameters: JsonObject,
  inputs: Readonly<Record<string, NodeInput>>,
): boolean {
  const needed = definition.inputsNeededBy?.(parameters) ?? [];
  const missing = needed.filter(({ input }) => !Object.hasOwn(inputs, input));
  for (const { input, because } of missing) {
    problems.add({
      code: 'pipeline/missing-input',
      message: `stage "${stage.name}": ${because} needs the input "${input}"`,
      origin: stage.body.entries.get('parameters')?.key ?? stage.key,
      hint: `add inputs: { ${input}: … }`,
    });
  }
  return missing.length === 0;
}

function nodeInputs(context: NodeContext): Readonly<Record<string, NodeInput>> | undefined {
  const { uses, from, stage } = context;
  const inputs: [string, NodeInput][] = [];
  let complete = true;
  for (const [name, use] of uses) {
    switch (use.type) {
      case 'stage': {
        const cell = from.get(use.stageName);
        if (cell === undefined) complete = false;
        else {
          const stageId = cellId(use.stageName, cell);
          inputs.push([name, { from: 'stage', stageId, output: use.output, kind: use.kind }]);
        }
        break;
      }
      case 'path': {
        const absolutePath = pathInput(name, use, context);
        if (absolutePath === undefined) complete = false;
        else if (absolutePath !== null) {
          const range = use.origin.from === 'file' ? use.origin.range : stageRange(stage);
          inputs.push([name, { from: 'path', absolutePath, range }]);
        }
        break;
      }
      case 'not-given':
        break;
      case 'broken':
        complete = false;
    }
  }
  return complete ? Object.fromEntries(inputs) : undefined;
}

/** Absolute path; null when it is not given, undefined when it is wrong. */
function pathInput(
  name: string,
  use: InputUse & { type: 'path' },
  { stage, scope, projectRoot, cwd, problems, pathUses }: NodeContext,
): string | null | undefined {
  const value = interpolate(use.path, scope, problems);
  if (value.type === 'unknown') return undefined;
  const declared = declaredInputs(stage);
  const declaration = declared === 'any' ? undefined : declared.get(name);
  if (value.type === 'scalar' && value.value === null) {
    if (declaration === undefined || declaration.optional === true) return null;
    problems.add({
      code: 'pipeline/missing-input',
      message: `stage "${stage.name}": the input "${name}" is required, received ${receivedText(value)}`,
      origin: value.origin,
      hint: value.via === undefined ? 'give a path' : `give ${value.via.reference} a path`,
    });
    return undefined;
  }
  if (value.type !== 'scalar' || typeof value.value !== 'string' || value.value === '') {
    problems.add({
      code: 'pipeline/invalid-value',
      message: `stage "${stage.name}": the path of input "${name}" must be a text, received ${receivedText(value)}`,
      origin: value.origin,
    });
    return undefined;
  }
  // A path typed on the command line means what the shell's own completion meant: the current folder.
  const written = value.via?.source ?? value.origin;
  const absolutePath = resolve(written.from === 'command-line' ? cwd : projectRoot, value.value);
  const kinds = declaration?.kinds ?? 'any';
  pathUses.push({
    stageName: stage.name,
    inputName: name,
    absolutePath,
    kinds,
    origin: value.origin,
  });
  return absolutePath;
}

function nodeParameters(
  { stage, scope, problems }: NodeContext,
  definition: AnyStageDefinition,
): JsonObject | undefined {
  const entry = stage.body.entries.get('parameters');
  if (entry !== undefined && entry.value.type !== 'map') return undefined;
  const given: Located = entry?.value ?? { type: 'map', entries: new Map(), origin: stage.key };
  const runTime = runTimeNames(stage, definition);
  const located = interpolate(given, runTime === null ? scope : { ...scope, runTime }, problems);
  const parsed = checkShape({
    value: located,
    schema: definition.parameters as z.ZodType,
    problems,
    owner: entry?.key ?? stage.key,
    keyWord: 'parameter',
    subject: (path) =>
      path.length === 0
        ? `stage "${stage.name}"`
        : `stage "${stage.name}": parameter "${pathText(path)}"`,
  });
  // A strict schema's output is plain data; JSON drops what is undefined.
  return parsed === undefined ? undefined : (JSON.parse(JSON.stringify(parsed)) as JsonObject);
}

/** Names for `${inputs.x}` and `${outputs.x}` of a kind that leaves these to the pipeline; else null. */
function runTimeNames(
  stage: StageSpec,
  { inputs, outputs }: AnyStageDefinition,
): NonNullable<Scope['runTime']> | null {
  const declared = 'declared-by-pipeline';
  if (inputs !== declared && outputs !== declared) return null;
  const names = (field: 'inputs' | 'outputs', kinds: typeof inputs | typeof outputs): Set<string> =>
    new Set(kinds === declared ? childEntries(stage.body, field).keys() : Object.keys(kinds));
  return { inputs: names('inputs', inputs), outputs: names('outputs', outputs) };
}

function nodeOutputs(
  { stage, scope, problems }: NodeContext,
  definition: AnyStageDefinition,
): Readonly<Record<string, NodeOutput>> | undefined {
  const entry = stage.body.entries.get('outputs');
  if (definition.outputs !== 'declared-by-pipeline') {
    if (entry === undefined) {
      return Object.fromEntries(
        Object.entries(definition.outputs).map(([name, { kind }]) => [name, { kind }]),
      );
    }
    problems.add({
      code: 'pipeline/unknown-key',
      message: `stage "${stage.name}": kind ${definition.kind} has its own outputs; "outputs" cannot be given`,
      origin: entry.key,
      hint: `its outputs: ${Object.keys(definition.outputs).join(', ')}`,
    });
    return undefined;
  }
  if (entry === undefined) return {};
  const located = interpolate(entry.value, scope, problems);
  const parsed = checkShape({
    value: located,
    schema: declaredOutputsSchema,
    problems,
    owner: entry.key,
    keyWord: 'key',
    subject: (path) => `stage "${stage.name}": "${pathText(['outputs', ...path])}"`,
  });
  if (parsed === undefined) return undefined;
  return checkedOutputs(stage, entry.value, declaredOutputsSchema.parse(parsed), problems);
}

function checkedOutputs(
  stage: StageSpec,
  located: Located,
  outputs: ReturnType<typeof declaredOutputsSchema.parse>,
  problems: Problems,
): Readonly<Record<string, NodeOutput>> | undefined {
  const nodes: [string, NodeOutput][] = [];
  const owners = new Map<string, string>();
  for (const [name, { path, kind }] of Object.entries(outputs)) {
    const place = normalize(path).replace(/\/$/, '');
    const node = located.type === 'map' ? located.entries.get(name)?.value : undefined;
    const pathNode = node?.type === 'map' ? node.entries.get('path')?.value : undefined;
    const refuse = (message: string): void =>
      problems.add({
        code: 'pipeline/invalid-value',
        message: `stage "${stage.name}": the path of output "${name}" ${message}`,
        origin: pathNode?.origin ?? stage.key,
      });
    const owner = owners.get(place);
    owners.set(place, name);
    if (isAbsolute(path) || place === '..' || place.startsWith('../') || place === '.') {
      refuse(`must stay inside the stage's working folder, received ${JSON.stringify(path)}`);
    } else if (owner !== undefined) {
      refuse(`is that of output "${owner}" too`);
    } else {
      nodes.push([name, { kind: declaredKind(kind, path), path: place }]);
    }
  }
  return nodes.length === owners.size ? Object.fromEntries(nodes) : undefined;
}

function nodeResources({ stage, scope, problems }: NodeContext): number | 'all' | undefined {
  const entry = stage.body.entries.get('resources');
  if (entry === undefined) return undefined;
  const located = interpolate(entry.value, scope, problems);
  const parsed = checkShape({
    value: located,
    schema: resourcesSchema,
    problems,
    owner: entry.key,
    keyWord: 'key',
    subject: (path) => `stage "${stage.name}": "${pathText(['resources', ...path])}"`,
  });
  const cpus = parsed === undefined ? undefined : resourcesSchema.parse(parsed).cpus;
  return typeof cpus === 'number' || cpus === 'all' ? cpus : undefined;
}

function stageRange({ key, body }: StageSpec): StageNode['range'] {
  if (key.from === 'file') return key.range;
  // Options change stages but cannot add them: the key always stands in the file.
  return body.origin.from === 'file' ? body.origin.range : { file: '', start: 0, end: 0 };
}
