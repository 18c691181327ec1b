import { renderDot, renderMermaid } from '../../tables/graph-text.ts';
import type { CommandCall } from '../command-context.ts';
import { loadPipelineFile } from '../load-pipeline-file.ts';

/** `drq graph`: the stages and the artifacts between them, as text for a drawing program. */
export async function graph(call: CommandCall): Promise<number> {
  const [file = ''] = call.arguments; // the command line requires it
  const pipeline = await loadPipelineFile(file, call);
  const render = call.options.graphFormat === 'dot' ? renderDot : renderMermaid;
  call.context.print(render(pipeline));
  return 0;
}
