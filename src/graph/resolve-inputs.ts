import { nameHint, nearestName } from '../diagnostics/nearest-name.ts';
import { interpolate, type Scope } from '../pipeline/interpolate.ts';
import {
  child,
  childEntries,
  childMap,
  childText,
  receivedText,
  type Located,
  type LocatedScalar,
  type Origin,
} from '../pipeline/located.ts';
import { orList } from '../diagnostics/issue-wording.ts';
import type { Problems } from '../pipeline/problems.ts';
import type { StageSpec } from '../pipeline/stage-spec.ts';
import { ARTIFACT_KINDS, type ArtifactKind } from '../stage/artifact.ts';
import type { InputDeclaration } from '../stage/definition.ts';

/** What an input of a stage was given, before paths are looked at. */
export type InputUse =
  | {
      readonly type: 'stage';
      readonly stageName: string;
      readonly output: string;
      readonly kind: ArtifactKind;
      readonly origin: Origin;
    }
  /** `path` still has its `${…}`: it may use axes that the stage inherits. */
  | { readonly type: 'path'; readonly path: Located; readonly origin: Origin }
  | { readonly type: 'not-given'; readonly origin: Origin }
  /** Wrong and reported; with the stage it names all the same, for there may be a circle beside. */
  | { readonly type: 'broken'; readonly stageName?: string; readonly origin?: Origin };

export interface InputContext {
  readonly stage: StageSpec;
  readonly stages: ReadonlyMap<string, StageSpec>;
  readonly scope: Scope;
  readonly problems: Problems;
}

/** Kinds an input takes; `any`: the stage's kind leaves inputs to the pipeline, or is not known. */
export type AcceptedKinds = readonly ArtifactKind[] | 'any';

/** The uses of a stage's inputs by name; unknown, missing and wrong ones are reported. */
export function resolveInputs(context: InputContext): ReadonlyMap<string, InputUse> {
  const { stage, problems } = context;
  const uses = new Map<string, InputUse>();
  const declared = declaredInputs(stage);
  const misspelled = new Set<string>();
  for (const [name, { key, value }] of childEntries(stage.body, 'inputs')) {
    const declaration = declared === 'any' ? undefined : declared.get(name);
    if (declared !== 'any' && declaration === undefined) {
      problems.add({
        code: 'pipeline/unknown-input',
        message: `stage "${stage.name}" (${stage.definition?.kind ?? ''}) has no input "${name}"`,
        origin: key,
        hint: nameHint(name, declared.keys()),
      });
      misspelled.add(nearestName(name, declared.keys()) ?? '');
      continue;
    }
    uses.set(name, resolveInput(name, value, declaration?.kinds ?? 'any', context));
  }
  if (declared !== 'any') {
    // A misspelled input is one mistake, not an unknown one and a missing one.
    const expected = new Map([...declared].filter(([name]) => !misspelled.has(name)));
    reportMissing(stage, expected, uses, problems);
  }
  return uses;
}

/** Inputs by name with what they take, or `any` when the kind does not say. */
export function declaredInputs(stage: StageSpec): ReadonlyMap<string, InputDeclaration> | 'any' {
  const inputs = stage.definition?.inputs;
  return inputs === undefined || inputs === 'declared-by-pipeline'
    ? 'any'
    : new Map(Object.entries(inputs));
}

/** Outputs of a stage by name with their kinds, or undefined when its kind is not known. */
export function outputsOf(stage: StageSpec): ReadonlyMap<string, ArtifactKind> | undefined {
  const outputs = stage.definition?.outputs;
  if (outputs === undefined) return undefined;
  if (outputs !== 'declared-by-pipeline') {
    return new Map(Object.entries(outputs).map(([name, { kind }]) => [name, kind]));
  }
  const kinds = new Map<string, ArtifactKind>();
  for (const [name, { value }] of childEntries(stage.body, 'outputs')) {
    kinds.set(name, declaredKind(childText(value, 'kind'), childText(value, 'path')));
  }
  return kinds;
}

/** Kind of an output that the pipeline declares: as said, else by the form of its path. */
export function declaredKind(kind: string | undefined, path: string | undefined): ArtifactKind {
  // The shape check has reported any other text.
  if (kind !== undefined && Object.hasOwn(ARTIFACT_KINDS, kind)) return kind as ArtifactKind;
  return path?.endsWith('/') === true ? 'folder' : 'file';
}

function reportMissing(
  stage: StageSpec,
  declared: ReadonlyMap<string, InputDeclaration>,
  uses: ReadonlyMap<string, InputUse>,
  problems: Problems,
): void {
  if (stage.body.entries.has('inputs') && childMap(stage.body, 'inputs') === undefined) return;
  for (const [name, { kinds, optional }] of declared) {
    const use = uses.get(name);
    if (optional === true || (use !== undefined && use.type !== 'not-given')) continue;
    problems.add({
      code: 'pipeline/missing-input',
      message: `stage "${stage.name}": the input "${name}" (${orList(kinds)}) is missing`,
      origin: use?.origin ?? stage.body.entries.get('inputs')?.key ?? stage.key,
      hint: `add inputs: { ${name}: … }`,
    });
  }
}

function resolveInput(
  name: string,
  given: Located,
  accepted: AcceptedKinds,
  context: InputContext,
): InputUse {
  const { stage, problems, scope } = context;
  if (given.type === 'map') {
    const path = child(given, 'path');
    if (path === undefined) return { type: 'broken' };
    if (accepted !== 'any' && !accepted.some((kind) => PATH_KINDS.has(kind))) {
      problems.add({
        code: 'pipeline/wrong-kind',
        message: `stage "${stage.name}": the input "${name}" takes ${orList(accepted)} from another stage, not a path`,
        origin: given.entries.get('path')?.key ?? given.origin,
        hint: 'write stage.output',
      });
      return { type: 'broken' };
    }
    return { type: 'path', path, origin: path.origin };
  }
  const value = interpolate(given, scope, problems);
  if (value.type !== 'scalar') return { type: 'broken' };
  if (value.value === null) return { type: 'not-given', origin: value.origin };
  if (typeof value.value !== 'string') {
    if (value.via !== undefined) {
      problems.add({
        code: 'pipeline/invalid-value',
        message: `stage "${stage.name}": the input "${name}" must be "stage.output" or { path: … }, received ${receivedText(value)}`,
        origin: value.origin,
      });
    }
    return { type: 'broken' };
  }
  return resolveReference(name, value, value.value, accepted, context);
}

/** Kinds that a path of the user's can be. */
const PATH_KINDS: ReadonlySet<ArtifactKind> = new Set(['file', 'folder', 'model/onnx']);

function resolveReference(
  name: string,
  { origin }: LocatedScalar,
  reference: string,
  accepted: AcceptedKinds,
  context: InputContext,
): InputUse {
  const { stage, problems } = context;
  const subject = `stage "${stage.name}": the input "${name}"`;
  const found = findOutput(reference, accepted, context.stages);
  if ('kind' in found) {
    if (accepted === 'any' || accepted.includes(found.kind))
      return { type: 'stage', ...found, origin };
    problems.add({
      code: 'pipeline/wrong-kind',
      message: `${subject} takes ${orList(accepted)}, but ${found.stageName}.${found.output} is ${found.kind}`,
      origin,
      hint: fittingHint(found.stageName, accepted, context.stages),
    });
  } else if (found.reason !== undefined) {
    problems.add({ ...found.reason, message: `${subject}: ${found.reason.message}`, origin });
  }
  const [stageName = ''] = reference.split('.', 1);
  return context.stages.has(stageName) ? { type: 'broken', stageName, origin } : { type: 'broken' };
}

/** An output of that stage that would fit, as a hint. */
function fittingHint(
  stageName: string,
  accepted: readonly ArtifactKind[],
  stages: ReadonlyMap<string, StageSpec>,
): string | undefined {
  const stage = stages.get(stageName);
  const outputs = stage === undefined ? undefined : outputsOf(stage);
  const fitting = [...(outputs ?? [])].filter(([, kind]) => accepted.includes(kind));
  const first = fitting[0];
  return first === undefined ? undefined : `did you mean "${stageName}.${first[0]}"?`;
}

export type FoundOutput =
  | { readonly stageName: string; readonly output: string; readonly kind: ArtifactKind }
  /** No reason: the stage's kind is not known, which is reported elsewhere. */
  | {
      readonly reason?: {
        readonly code: string;
        readonly message: string;
        readonly hint?: string | undefined;
      };
    };

/** The output that `stage.output`, or `stage` alone, means. */
export function findOutput(
  reference: string,
  accepted: AcceptedKinds,
  stages: ReadonlyMap<string, StageSpec>,
): FoundOutput {
  const dot = reference.indexOf('.');
  const stageName = dot === -1 ? reference : reference.slice(0, dot);
  const stage = stages.get(stageName);
  if (stage === undefined) {
    const ofCell = cellReference(reference, stages);
    if (ofCell !== undefined) return { reason: ofCell };
    const isPath = /[/\\]/.test(reference);
    return {
      reason: {
        code: 'pipeline/unknown-stage',
        message: `there is no stage "${isPath ? reference : stageName}"`,
        hint: isPath
          ? `a file or folder is written { path: ${reference} }`
          : nameHint(stageName, stages.keys()),
      },
    };
  }
  const outputs = outputsOf(stage);
  if (outputs === undefined) return {};
  if (dot !== -1) {
    const output = reference.slice(dot + 1);
    const kind = outputs.get(output);
    if (kind !== undefined) return { stageName, output, kind };
    const hint = nameHint(output, outputs.keys());
    const message = `stage "${stageName}" has no output "${output}"`;
    return { reason: { code: 'pipeline/unknown-output', message, hint } };
  }
  const fitting = [...outputs].filter(([, kind]) => accepted === 'any' || accepted.includes(kind));
  const [first] = fitting;
  if (first !== undefined && fitting.length === 1) {
    return { stageName, output: first[0], kind: first[1] };
  }
  const wanted = accepted === 'any' ? '' : ` of kind ${orList(accepted)}`;
  const names = fitting.map(([name]) => `${stageName}.${name}`);
  const message =
    fitting.length === 0
      ? `stage "${stageName}" has no output${wanted}`
      : `stage "${stageName}" has ${fitting.length} outputs${wanted}`;
  const hint =
    fitting.length === 0
      ? `its outputs: ${[...outputs].map(([name, kind]) => `${name} (${kind})`).join(', ')}`
      : `write ${orList(names)}`;
  const code = fitting.length === 0 ? 'pipeline/wrong-kind' : 'pipeline/ambiguous-output';
  return { reason: { code, message, hint } };
}

/** What is wrong with `stage@axis=value.output`: ids of cells are for the command line. */
function cellReference(
  reference: string,
  stages: ReadonlyMap<string, StageSpec>,
): { readonly code: string; readonly message: string; readonly hint: string } | undefined {
  const at = reference.indexOf('@');
  const stageName = reference.slice(0, Math.max(0, at));
  const stage = stages.get(stageName);
  if (stage === undefined) return undefined;
  // Values of axes may have dots in them, names of outputs have none.
  const output = reference.slice(reference.lastIndexOf('.') + 1);
  const whole = outputsOf(stage)?.has(output) === true ? `${stageName}.${output}` : stageName;
  return {
    code: 'pipeline/names-a-cell',
    message: `"${reference}" names one cell of stage "${stageName}"`,
    hint: `name the stage as a whole, ${whole}: a table row becomes one row a cell, and an input takes the cell that fits`,
  };
}
