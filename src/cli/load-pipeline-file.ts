import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { registry } from '../../stages/registry.ts';
import { PipelineError } from '../diagnostics/errors.ts';
import { loadPipeline } from '../graph/load-pipeline.ts';
import { MAX_FILE_BYTES } from '../pipeline/pipeline-file.ts';
import type { Pipeline } from '../pipeline/spec.ts';
import { systemErrorCode } from '../store/system-error.ts';
import type { CommandCall } from './command-context.ts';
import { givenRoot } from './given-root.ts';
import { hasOwnKinds, shareLibrary } from './share-library.ts';

/**
 * The pipeline a command names, checked and expanded.
 * @throws PipelineError with every problem of the file and of the `--set` flags; UsageError `usage/no-root`
 */
export async function loadPipelineFile(file: string, call: CommandCall): Promise<Pipeline> {
  const { options, context } = call;
  const root = await givenRoot(call);
  if (hasOwnKinds(await readTextOrEmpty(resolve(context.cwd, file)))) shareLibrary();
  const result = await loadPipeline(file, {
    registry,
    cwd: context.cwd,
    sets: options.set ?? [],
    ...(root === undefined ? {} : { root }),
    ...(options.profile === undefined ? {} : { profile: options.profile }),
  });
  if (!result.ok) throw new PipelineError(result.error);
  return result.value;
}

/** The loader reports what cannot be read, or is no pipeline, as it does every other problem. */
async function readTextOrEmpty(path: string): Promise<string> {
  try {
    const stats = await stat(path);
    if (!stats.isFile() || stats.size > MAX_FILE_BYTES) return '';
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    return '';
  }
}
