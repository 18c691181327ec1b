import { indexGraph, shownNode } from '../onnx/graph-edit.ts';
import type { OnnxGraph, OnnxNode } from '../onnx/model.ts';
import { decideNodes } from './decide-nodes.ts';

/** What is still rounded of a layer's input when that layer runs in float. */
export interface LeftInput {
  /** The tensors with codes that it is made of; none where it is float altogether. */
  readonly tensors: readonly string[];
  /** The nodes in float between those and the layer, each after those that it reads. */
  readonly between: readonly OnnxNode[];
}

/** As `LeftInput` tells, for a node of `graph` with the nodes named in `excluded` in float, too. */
export function leftInput(
  graph: OnnxGraph,
  layer: OnnxNode,
  excluded: ReadonlySet<string> = new Set(),
): LeftInput {
  const index = indexGraph(graph);
  const decisions = decideNodes(graph, index, new Set([...excluded, shownNode(layer)]));
  const coded = new Set([...decisions.values()].flatMap(({ coded }) => coded));
  const tensors = new Set<string>();
  const between = new Set<OnnxNode>();
  const follow = (tensor: string): void => {
    if (coded.has(tensor)) {
      tensors.add(tensor);
      return;
    }
    const maker = index.producers.get(tensor);
    if (maker === undefined || between.has(maker) || !decisions.get(maker)?.isFeeder) return;
    for (const input of maker.input) follow(input);
    between.add(maker);
  };
  follow(layer.input[0] ?? '');
  return { tensors: [...tensors], between: [...between] };
}
