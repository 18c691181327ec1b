import type { GraphIndex } from '../onnx/graph-edit.ts';
import type { OnnxNode } from '../onnx/model.ts';
import type { Verdict } from './operators/operator.ts';

/**
 * The nodes without weights whose results nothing reads but `floatNodes`, at last, each with the one that
 * it feeds; in no order of the graph's. What they would round serves nothing that runs in integers.
 */
export function feedersOf(
  floatNodes: Iterable<OnnxNode>,
  { producers, consumers, outputs }: GraphIndex,
  kindOf: (node: OnnxNode) => Verdict['kind'] | undefined,
): ReadonlyMap<OnnxNode, OnnxNode> {
  const fed = new Map([...floatNodes].map((node) => [node, node]));
  const feeders = new Map<OnnxNode, OnnxNode>();
  const isFeeder = (node: OnnxNode): boolean => {
    const kind = kindOf(node);
    if (kind !== 'integer' && kind !== 'shared') return false;
    return node.output.every(
      (output) =>
        !outputs.has(output) && (consumers.get(output) ?? []).every((reader) => fed.has(reader)),
    );
  };
  // The map grows while it is walked: a node is looked at once more for each of its readers in it.
  for (const [node, last] of fed) {
    for (const input of node.input) {
      const producer = producers.get(input);
      if (producer === undefined || fed.has(producer) || !isFeeder(producer)) continue;
      fed.set(producer, last);
      feeders.set(producer, last);
    }
  }
  return feeders;
}
