import { registry } from '../../stages/registry.ts';
import { PipelineError, UsageError } from '../diagnostics/errors.ts';
import { nameHint } from '../diagnostics/nearest-name.ts';
import { loadPipeline } from '../pipeline/load-pipeline.ts';
import type { Pipeline, StageId, StageNode } from '../pipeline/spec.ts';
import type { CommandCall } from './command-context.ts';

/**
 * The pipeline a command names, checked and expanded.
 * @throws PipelineError with every problem of the file and of the `--set` flags.
 */
export async function loadPipelineFile(file: string, call: CommandCall): Promise<Pipeline> {
  const { options, context } = call;
  const result = await loadPipeline(file, {
    registry,
    cwd: context.cwd,
    sets: options.set ?? [],
    ...(options.root === undefined ? {} : { root: options.root }),
    ...(options.profile === undefined ? {} : { profile: options.profile }),
  });
  if (!result.ok) throw new PipelineError(result.error);
  return result.value;
}

/**
 * The cells that names on the command line mean: a cell's whole id, or a stage's name for all its cells.
 * @throws UsageError `usage/unknown-stage`
 */
export function selectStages(pipeline: Pipeline, names: readonly string[]): StageId[] {
  const nodes = [...pipeline.graph.nodes.values()];
  return [
    ...new Set(names.flatMap((name) => nodesNamed(nodes, name, pipeline).map(({ id }) => id))),
  ];
}

function nodesNamed(
  nodes: readonly StageNode[],
  name: string,
  pipeline: Pipeline,
): readonly StageNode[] {
  const found = nodes.filter(({ id, stageName }) => id === name || stageName === name);
  if (found.length > 0) return found;
  const known = new Set(nodes.flatMap(({ id, stageName }) => [stageName, id as string]));
  const hint = nameHint(name, known);
  throw new UsageError({
    code: 'usage/unknown-stage',
    message: `pipeline "${pipeline.name}" has no stage "${name}"`,
    ...(hint === undefined ? {} : { hint }),
  });
}
