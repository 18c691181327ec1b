import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { UsageError } from '../diagnostics/errors.ts';
import type { CommandCall } from './command-context.ts';

/**
 * The folder of `--root`; undefined without the flag. A folder that is not there is most often mistyped,
 * and a run would make everything anew in it.
 * @throws UsageError `usage/no-root`
 */
export async function givenRoot({ options, context }: CommandCall): Promise<string | undefined> {
  if (options.root === undefined) return undefined;
  const root = resolve(context.cwd, options.root);
  const isFolder = await stat(root).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
  if (isFolder) return root;
  throw new UsageError({
    code: 'usage/no-root',
    message: `--root: ${root} is no folder`,
    hint: 'make it first, or leave --root out: then the project of the pipeline file is taken',
  });
}
