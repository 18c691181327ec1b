import { isAbsolute, normalize, resolve } from 'node:path';
import type { z } from 'zod';
import { interpolate, type Scope } from '../pipeline/interpolate.ts';
import {
  child,
  childEntries,
  receivedText,
  toPlain,
  type Located,
  type Origin,
} from '../pipeline/located.ts';
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
  const hasNeeded = parameters !== undefined && hasNeededInputs(context, parameters, inputs);
  if (inputs.broken.size > 0 || !hasNeeded || !parameters.isWhole || outputs === undefined) {
    return undefined;
  }
  return {
    id: cellId(stage.name, cell),
    stageName: stage.name,
    cell,
    definition,
    ...(ownKind === undefined ? {} : { ownKind }),
    parameters: parameters.values,
    inputs: inputs.given,
    outputs,
    resources: { cpuCount: resources ?? definition.defaultCpuCount },
    range: stageRange(stage),
  };
}

/** What is wrong with an input says enough of it: it is not called missing, too. */
function hasNeededInputs(
  { stage, problems }: NodeContext,
  { values, written }: NodeParameters,
  { given, broken }: NodeInputs,
): boolean {
  const needed = stage.definition?.inputsNeededBy?.(values, written) ?? [];
  const missing = needed.filter(({ input }) => !Object.hasOwn(given, input) && !broken.has(input));
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

interface NodeInputs {
  readonly given: Readonly<Record<string, NodeInput>>;
  /** Names of those that are wrong, which is reported. */
  readonly broken: ReadonlySet<string>;
}

function nodeInputs(context: NodeContext): NodeInputs {
  const { uses, from, stage } = context;
  const inputs: [string, NodeInput][] = [];
  const broken = new Set<string>();
  for (const [name, use] of uses) {
    switch (use.type) {
      case 'stage': {
        const cell = from.get(use.stageName);
        if (cell === undefined) broken.add(name);
        else {
          const stageId = cellId(use.stageName, cell);
          inputs.push([name, { from: 'stage', stageId, output: use.output, kind: use.kind }]);
        }
        break;
      }
      case 'path': {
        const absolutePath = pathInput(name, use, context);
        if (absolutePath === undefined) broken.add(name);
        else if (absolutePath !== null) {
          const range = use.origin.from === 'file' ? use.origin.range : stageRange(stage);
          inputs.push([name, { from: 'path', absolutePath, range }]);
        }
        break;
      }
      case 'not-given':
        break;
      case 'broken':
        broken.add(name);
    }
  }
  return { given: Object.fromEntries(inputs), broken };
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

interface NodeParameters {
  readonly values: JsonObject;
  /** Names of those in `values` that the pipeline gives; the others have their defaults. */
  readonly written: ReadonlySet<string>;
  /** False when others are wrong and reported: `values` has their defaults. */
  readonly isWhole: boolean;
}

/** Undefined when something is wrong and nothing can be said of the rest. */
function nodeParameters(
  { stage, scope, problems }: NodeContext,
  definition: AnyStageDefinition,
): NodeParameters | undefined {
  const entry = stage.body.entries.get('parameters');
  if (entry !== undefined && entry.value.type !== 'map') return undefined;
  const given: Located = entry?.value ?? { type: 'map', entries: new Map(), origin: stage.key };
  const runTime = runTimeNames(stage, definition);
  const located = interpolate(given, runTime === null ? scope : { ...scope, runTime }, problems);
  const schema = definition.parameters as z.ZodType;
  const parsed = checkShape({
    value: located,
    schema,
    problems,
    owner: entry?.key ?? stage.key,
    keyWord: 'parameter',
    subject: (path) =>
      path.length === 0
        ? `stage "${stage.name}"`
        : `stage "${stage.name}": parameter "${pathText(path)}"`,
  });
  // The value is a mapping, since what was given is one.
  const plain = toPlain(located) as JsonObject;
  if (parsed === undefined) return validParameters(schema, plain);
  return { values: asJson(parsed), written: new Set(Object.keys(plain)), isWhole: true };
}

/** The parameters without those that are wrong, so that what these need is told beside what is wrong. */
function validParameters(schema: z.ZodType, given: JsonObject): NodeParameters | undefined {
  const issues = schema.safeParse(given).error?.issues ?? [];
  const wrong = new Set(
    issues.flatMap((issue) =>
      issue.code === 'unrecognized_keys' && issue.path.length === 0
        ? issue.keys
        : issue.path.slice(0, 1).map(String),
    ),
  );
  const rest = Object.fromEntries(Object.entries(given).filter(([name]) => !wrong.has(name)));
  const { data } = schema.safeParse(rest);
  if (data === undefined) return undefined;
  return { values: asJson(data), written: new Set(Object.keys(rest)), isWhole: false };
}

/** A strict schema's output is plain data; JSON drops what is undefined. */
function asJson(parsed: unknown): JsonObject {
  return JSON.parse(JSON.stringify(parsed)) as JsonObject;
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
  // Paths are looked at whatever else is wrong beside them.
  const arePathsRight = checkOutputPaths(stage, located, problems);
  if (parsed === undefined || !arePathsRight) return undefined;
  return Object.fromEntries(
    Object.entries(declaredOutputsSchema.parse(parsed)).map(([name, { path, kind }]) => [
      name,
      { kind: declaredKind(kind, path), path: placeOf(path) },
    ]),
  );
}

/** Reports paths that leave the working folder of the stage, are those of two outputs or lie one in the other. */
function checkOutputPaths(stage: StageSpec, outputs: Located, problems: Problems): boolean {
  let areRight = true;
  const owners = new Map<string, string>();
  for (const [name, { value }] of outputs.type === 'map' ? outputs.entries : []) {
    const node = child(value, 'path');
    if (node?.type !== 'scalar' || typeof node.value !== 'string') continue;
    const refuse = (message: string): void => {
      areRight = false;
      problems.add({
        code: 'pipeline/invalid-value',
        message: `stage "${stage.name}": the path of output "${name}" ${message}`,
        origin: node.origin,
      });
    };
    const place = placeOf(node.value);
    const owner = owners.get(place);
    owners.set(place, name);
    if (isAbsolute(place) || place === '..' || place.startsWith('../') || place === '.') {
      if (node.value === '') continue; // the shape check has told of it
      refuse(`must stay inside the stage's working folder, received ${JSON.stringify(node.value)}`);
    } else if (owner !== undefined) {
      refuse(`is that of output "${owner}" too`);
    } else {
      // Whichever is moved away first, the other would lose its files.
      for (const [other, otherName] of owners) {
        const isInside = place.startsWith(`${other}/`);
        if (!isInside && !other.startsWith(`${place}/`)) continue;
        const relation = isInside ? 'lies inside' : 'holds';
        refuse(`("${place}") ${relation} that of output "${otherName}" ("${other}")`);
        break;
      }
    }
  }
  return areRight;
}

function placeOf(path: string): string {
  return normalize(path).replace(/\/$/, '');
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
