import { resolve } from 'node:path';
import { nearestName } from '../diagnostics/nearest-name.ts';
import { failure, success, type Diagnostic, type Result } from '../diagnostics/diagnostic.ts';
import { interpolate } from '../pipeline/interpolate.ts';
import { pathText } from '../diagnostics/issue-wording.ts';
import {
  child,
  childEntries,
  childMap,
  childText,
  toPlain,
  type Located,
  type LocatedEntry,
  type LocatedMap,
} from '../pipeline/located.ts';
import { applyProfile, checkProfiles } from '../pipeline/overlay.ts';
import {
  parsePipelineText,
  readPipelineFile,
  type PipelineFile,
} from '../pipeline/pipeline-file.ts';
import { Problems } from '../pipeline/problems.ts';
import { projectRootOf } from '../pipeline/project-root.ts';
import { loadOwnKinds, resolveStages, type OwnKinds } from '../pipeline/resolve-stages.ts';
import { resolveVars } from '../pipeline/resolve-vars.ts';
import { pipelineFileSchema, referenceSchema } from '../pipeline/schema.ts';
import { applySet } from '../pipeline/set-option.ts';
import { checkShape } from '../pipeline/shape-diagnostics.ts';
import type { JsonObject, Pipeline, ReferenceSpec, TableSpec } from '../pipeline/spec.ts';
import type { PipelineSpec } from '../pipeline/stage-spec.ts';
import type { AnyStageDefinition } from '../stage/definition.ts';
import { checkPaths } from './check-paths.ts';
import { expandGraph, type Expansion } from './expand-graph.ts';
import { expandTables } from './expand-tables.ts';

export interface LoadPipelineOptions {
  readonly registry: ReadonlyMap<string, AnyStageDefinition>;
  /** Project root; left out: found from the file. */
  readonly root?: string;
  readonly profile?: string;
  /** Values of `--set`, in order: `vars.epochs=5`. */
  readonly sets: readonly string[];
  readonly cwd: string;
}

/**
 * Reads, checks and expands a pipeline: the one way from a file to a graph. On failure every problem
 * found is returned, in the order of the file; nothing has been run or written.
 */
export async function loadPipeline(
  filePath: string,
  options: LoadPipelineOptions,
): Promise<Result<Pipeline, Diagnostic[]>> {
  const path = resolve(options.cwd, filePath);
  const read = await readPipelineFile(path);
  if (!read.ok) return read;
  const file = read.value;
  const problems = new Problems({ path, text: file.text });
  const parsed = parsePipelineText(file, problems);
  if (parsed === undefined) return failure(problems.sorted());

  checkFileShape(parsed, problems);
  const root = repairTopKeys(parsed);
  if (root !== parsed) checkFileShape(root, problems);
  checkProfiles(root, problems);
  const projectRoot =
    options.root === undefined ? projectRootOf(path) : resolve(options.cwd, options.root);
  const loader = { file, root, options, projectRoot, ownKinds: await loadOwnKinds(root, path) };
  const loaded = await loadVariant(loader, options.profile, problems);
  await checkOtherProfiles(loader, problems);
  if (problems.count > 0) return failure(problems.sorted());
  return success({
    name: childText(root, 'name') ?? '',
    description: childText(root, 'description') ?? '',
    filePath: path,
    projectRoot,
    profile: options.profile ?? null,
    vars: loaded.vars,
    graph: loaded.expansion.graph,
    tables: loaded.tables,
    reference: loaded.reference,
  });
}

interface Loader {
  readonly file: PipelineFile;
  readonly root: LocatedMap;
  readonly options: LoadPipelineOptions;
  readonly projectRoot: string;
  readonly ownKinds: OwnKinds;
}

interface Variant {
  readonly vars: JsonObject;
  readonly expansion: Expansion;
  readonly tables: readonly TableSpec[];
  readonly reference: ReferenceSpec | null;
}

/** The pipeline under one profile. */
async function loadVariant(
  { root, options, projectRoot, ownKinds }: Loader,
  profile: string | undefined,
  problems: Problems,
): Promise<Variant> {
  let merged = profile === undefined ? root : applyProfile(root, profile, problems);
  for (const set of options.sets) merged = applySet(merged, set, problems);
  if (merged !== root) checkFileShape(merged, problems);
  const vars = resolveVars(childEntries(merged, 'vars'), problems);
  const spec: PipelineSpec = {
    vars,
    stages: resolveStages(merged, options.registry, ownKinds, problems),
    tables: childMap(merged, 'tables'),
  };
  if (childMap(merged, 'stages')?.entries.size === 0) {
    problems.add({
      code: 'pipeline/no-stages',
      message: 'the pipeline has no stages',
      origin: merged.entries.get('stages')?.key ?? merged.origin,
    });
  }
  const expansion = expandGraph(spec, { projectRoot, cwd: options.cwd, problems });
  const tables = expandTables(spec, expansion, problems);
  const reference = readReference(merged, vars, problems);
  await checkPaths(expansion.pathUses, problems);
  const plainVars = [...vars].map(([name, value]) => [name, toPlain(value) ?? null] as const);
  return { vars: Object.fromEntries(plainVars), expansion, tables, reference };
}

/** What only shows under a profile that was not chosen: mistakes written inside that profile. */
async function checkOtherProfiles(loader: Loader, problems: Problems): Promise<void> {
  for (const [profile, { value }] of childEntries(loader.root, 'profiles')) {
    if (profile === loader.options.profile || value.origin.from !== 'file') continue;
    const found = new Problems({ path: loader.file.path, text: loader.file.text });
    await loadVariant({ ...loader, options: { ...loader.options, sets: [] } }, profile, found);
    problems.addWithin(found, value.origin.range);
  }
}

/** A misspelled section, reported as such, is taken for what it was meant to be: all else refers to it. */
function repairTopKeys(root: LocatedMap): LocatedMap {
  const known = Object.keys(pipelineFileSchema.shape);
  const entries = new Map<string, LocatedEntry>();
  let repaired = false;
  for (const [key, entry] of root.entries) {
    const meant = known.includes(key) ? key : (nearestName(key, known) ?? key);
    if (meant === key || root.entries.has(meant)) entries.set(key, entry);
    else {
      entries.set(meant, entry);
      repaired = true;
    }
  }
  return repaired ? { ...root, entries } : root;
}

function checkFileShape(root: LocatedMap, problems: Problems): void {
  checkShape({
    value: root,
    schema: pipelineFileSchema,
    problems,
    owner: firstKey(root),
    keyWord: 'key',
    subject: fileSubject,
  });
}

function fileSubject(path: readonly PropertyKey[]): string {
  const [section, name, ...rest] = path;
  if (section === undefined) return '';
  if (section !== 'stages' || name === undefined) return `"${pathText(path)}"`;
  return rest.length === 0
    ? `stage "${String(name)}"`
    : `stage "${String(name)}": "${pathText(rest)}"`;
}

/** Where to point when a key of the pipeline itself is missing: the whole file has no better place. */
function firstKey(root: LocatedMap): LocatedMap['origin'] {
  const [first] = root.entries.values();
  return first?.key ?? root.origin;
}

function readReference(
  root: LocatedMap,
  vars: ReadonlyMap<string, Located>,
  problems: Problems,
): ReferenceSpec | null {
  const entry = root.entries.get('reference');
  const given = child(root, 'reference');
  if (entry === undefined || given === undefined) return null;
  const value = interpolate(given, { vars, matrix: 'not-here' }, problems);
  const parsed = checkShape({
    value,
    schema: referenceSchema,
    problems,
    owner: entry.key,
    keyWord: 'key',
    subject: (path) => `"${pathText(['reference', ...path])}"`,
  });
  if (parsed === undefined) return null;
  const { source, rows } = referenceSchema.parse(parsed);
  return {
    source,
    rows: rows.map(({ model, precision, note, ...figures }) => ({
      model: String(model),
      precision: String(precision),
      ...(note === undefined ? {} : { note }),
      // Text is left only where "$${" hides a reference: no figure.
      ...Object.fromEntries(Object.entries(figures).filter(([, each]) => typeof each === 'number')),
    })),
  };
}
