import { registry } from '../../../stages/registry.ts';
import { InternalError } from '../../diagnostics/errors.ts';
import { serveStage } from '../../execute/local/serve-stage.ts';
import type { AnyStageDefinition } from '../../stage/definition.ts';

/** The child's side of a stage that has a process of its own; ends the process. */
export function execStage(requestPath: string, signal: AbortSignal): Promise<never> {
  const findDefinition = (kind: string): Promise<AnyStageDefinition> => {
    const definition = registry.get(kind);
    if (definition === undefined) throw new InternalError(`there is no stage kind ${kind}`);
    return Promise.resolve(definition);
  };
  return serveStage(requestPath, findDefinition, signal);
}
