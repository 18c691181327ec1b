import { registry } from '../../../stages/registry.ts';
import { pipelineJsonSchema } from '../../pipeline/json-schema.ts';
import type { CommandCall } from '../command-context.ts';

/** `drq schema`: the JSON Schema that gives editors completion. */
export async function schema({ context }: CommandCall): Promise<number> {
  context.print(JSON.stringify(pipelineJsonSchema(registry), null, 2));
  return Promise.resolve(0);
}
