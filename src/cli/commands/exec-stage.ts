import { registry } from '../../../stages/registry.ts';
import { InternalError } from '../../diagnostics/errors.ts';
import { serveStage } from '../../execute/local/serve-stage.ts';

/** The child's side of a stage that has a process of its own; ends the process. */
export function execStage(requestPath: string): Promise<never> {
  return serveStage(requestPath, (kind) => {
    const definition = registry.get(kind);
    if (definition === undefined) throw new InternalError(`there is no stage kind ${kind}`);
    return Promise.resolve(definition);
  });
}
