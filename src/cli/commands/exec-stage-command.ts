import { registry } from '../../../stages/registry.ts';
import { InternalError } from '../../diagnostics/errors.ts';
import { serveStage } from '../../execute/local/serve-stage.ts';
import type { CommandCall } from '../command-context.ts';

/** `drq exec-stage`: the child's side of a stage that runs in a process of its own. */
export async function execStageCommand({
  arguments: [request = ''],
}: CommandCall): Promise<number> {
  const exitCode = await serveStage(request, (kind) => {
    const definition = registry.get(kind);
    if (definition === undefined) {
      return Promise.reject(new InternalError(`this drq has no stage kind "${kind}"`));
    }
    return Promise.resolve(definition);
  });
  // The channel to the parent would keep the process alive; everything has been told by now.
  process.exit(exitCode);
}
