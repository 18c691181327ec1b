import { stat } from 'node:fs/promises';
import { relative } from 'node:path';
import { DataError, InternalError } from '../diagnostics/errors.ts';
import { ownValue } from '../diagnostics/own-value.ts';
import type { NodeInput, Pipeline, StageId, StageNode } from '../pipeline/spec.ts';
import { ARTIFACT_KINDS, type Artifact } from '../stage/artifact.ts';
import type { ResolvedInput } from '../stage/definition.ts';
import { digestFolder } from '../store/folder-listing.ts';
import { digestFile, type StatCache } from '../store/stat-cache.ts';
import { pathOfError, systemErrorCode } from '../store/system-error.ts';
import { outputPath } from './output-path.ts';

/** Code of the error on a file or folder of the user's that is there and cannot be read. */
export const UNREADABLE_INPUT = 'data/unreadable-input';

export type StageArtifacts = Readonly<Record<string, Artifact>>;

export interface InputSources {
  readonly pipeline: Pipeline;
  /** Outputs of the stages upstream, all of them known. */
  readonly artifacts: ReadonlyMap<StageId, StageArtifacts>;
  readonly cache: StatCache;
}

/** Every input of a stage with the digest of its content; the user's files are read where they changed. */
export async function resolveInputs(
  node: StageNode,
  sources: InputSources,
): Promise<Record<string, ResolvedInput>> {
  const resolved: Record<string, ResolvedInput> = {};
  for (const [name, input] of Object.entries(node.inputs)) {
    resolved[name] =
      input.from === 'stage'
        ? resolveStageOutput(input, sources)
        : await resolvePath({ node, name, path: input.absolutePath, sources });
  }
  return resolved;
}

/** Finds what is missing of the user's files before anything runs. @throws DataError `data/missing-input` */
export async function checkPathInputs(node: StageNode, pipeline: Pipeline): Promise<void> {
  for (const [name, input] of Object.entries(node.inputs)) {
    if (input.from === 'path') await formOfPath(node, name, input.absolutePath, pipeline);
  }
}

function resolveStageOutput(
  input: Extract<NodeInput, { from: 'stage' }>,
  { pipeline, artifacts }: InputSources,
): ResolvedInput {
  const artifact = artifacts.get(input.stageId)?.[input.output];
  if (artifact === undefined) {
    throw new InternalError(`output ${input.output} of ${input.stageId} is not known yet`);
  }
  const path = outputPath(pipeline, input.stageId, input.output);
  return { kind: artifact.kind, path, digest: artifact.digest };
}

async function resolvePath(request: {
  readonly node: StageNode;
  readonly name: string;
  readonly path: string;
  readonly sources: InputSources;
}): Promise<ResolvedInput> {
  const { node, name, path, sources } = request;
  const kind = await formOfPath(node, name, path, sources.pipeline);
  try {
    const { digest } =
      kind === 'file'
        ? await digestFile(path, sources.cache)
        : await digestFolder(path, sources.cache);
    return { kind, path, digest };
  } catch (error) {
    const place = shownPlace(pathOfError(error) ?? path, sources.pipeline);
    throw unreadable(error, `input "${name}" of stage ${node.id}: ${place}`);
  }
}

/** What to tell of a file that cannot be read; any other error is returned unchanged. */
function unreadable(error: unknown, subject: string): unknown {
  const code = systemErrorCode(error);
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return new DataError({
        code: UNREADABLE_INPUT,
        message: `${subject} may not be read`,
        hint: 'give the current user the right to read it, or take it out of the input',
        cause: error,
      });
    case 'EIO':
      return new DataError({
        code: UNREADABLE_INPUT,
        message: `${subject} cannot be read: the disk or its connection failed (EIO)`,
        hint: 'put a sound copy in its place, or take it out of the input',
        cause: error,
      });
    default:
      return error;
  }
}

function shownPlace(path: string, { projectRoot }: Pipeline): string {
  const place = relative(projectRoot, path);
  return place.startsWith('..') ? path : place || '.';
}

async function formOfPath(
  node: StageNode,
  name: string,
  path: string,
  pipeline: Pipeline,
): Promise<'file' | 'folder'> {
  const shown = `input "${name}" of stage ${node.id}`;
  const place = shownPlace(path, pipeline);
  let form: 'file' | 'folder';
  try {
    const stats = await stat(path);
    if (!stats.isFile() && !stats.isDirectory()) {
      throw new DataError({
        code: 'data/refused-file',
        message: `${shown}: ${place} is neither a file nor a folder`,
      });
    }
    form = stats.isFile() ? 'file' : 'folder';
  } catch (error) {
    const code = systemErrorCode(error);
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw unreadable(error, `${shown}: ${place}`);
    throw new DataError({
      code: 'data/missing-input',
      message: `${shown}: ${place} does not exist`,
      hint: "paths in a pipeline file are relative to the project's root",
      cause: error,
    });
  }
  const accepted = acceptedForms(node, name);
  if (!accepted.includes(form)) {
    throw new DataError({
      code: 'data/wrong-input-form',
      message: `${shown} must be a ${accepted.join(' or ')}, but ${place} is a ${form}`,
    });
  }
  return form;
}

function acceptedForms(node: StageNode, name: string): readonly ('file' | 'folder')[] {
  const { inputs } = node.definition;
  const declared = inputs === 'declared-by-pipeline' ? undefined : ownValue(inputs, name);
  if (declared === undefined) return ['file', 'folder'];
  return [...new Set(declared.kinds.map((kind) => ARTIFACT_KINDS[kind].form))];
}
