import { join } from 'node:path';
import { InternalError } from '../diagnostics/errors.ts';
import { ownValue } from '../diagnostics/own-value.ts';
import type { Pipeline, StageId } from '../pipeline/spec.ts';
import { ARTIFACT_KINDS } from '../stage/artifact.ts';
import { hashBytes } from '../store/hash-file.ts';

/** Where people find a stage's output: `artifacts/outputs/<pipeline>/<stage>/<output><suffix>`. */
export function outputPath(pipeline: Pipeline, stageId: StageId, outputName: string): string {
  const kind = ownValue(pipeline.graph.nodes.get(stageId)?.outputs ?? {}, outputName)?.kind;
  if (kind === undefined) throw new InternalError(`${stageId} has no output ${outputName}`);
  return join(
    pipeline.projectRoot,
    'artifacts',
    'outputs',
    fileNameOf(pipeline.name),
    fileNameOf(stageId),
    `${outputName}${ARTIFACT_KINDS[kind].suffix}`,
  );
}

/** A name as one component of a path: unsafe characters escaped, over-long names cut and told apart by a hash. */
export function fileNameOf(name: string): string {
  const safe = name
    .replace(/[^\p{L}\p{N}@=,._+ -]/gu, (character) => encodeURIComponent(character))
    .replace(/^\.+/, (dots) => '%2E'.repeat(dots.length));
  if (Buffer.byteLength(safe) <= 200) return safe; // common file systems allow 255 bytes a name
  return `${safe.slice(0, 60)}~${hashBytes(name).slice(0, 12)}`;
}
