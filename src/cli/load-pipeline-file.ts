import { registry } from '../../stages/registry.ts';
import { PipelineError } from '../diagnostics/errors.ts';
import { loadPipeline } from '../pipeline/load-pipeline.ts';
import type { Pipeline } from '../pipeline/spec.ts';
import type { CommandCall } from './command-context.ts';

/**
 * The pipeline a command names, checked and expanded.
 * @throws PipelineError with every problem of the file and of the `--set` flags.
 */
export async function loadPipelineFile(
  file: string,
  { options, context }: CommandCall,
): Promise<Pipeline> {
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
