import { innerGraphs, isStandard } from './graph-edit.ts';
import type { OnnxGraph, OnnxNode } from './model.ts';

/**
 * Gives operators of other domains, functions of the model among them, names that nobody takes for one of
 * ONNX's own: `Add` of a domain `my` becomes `my::Add`. The result gives them back.
 */
export function hideForeignOperators(graph: OnnxGraph): () => void {
  const hidden = new Map<OnnxNode, string>();
  const hide = (inside: OnnxGraph): void => {
    for (const node of inside.node) {
      for (const inner of innerGraphs(node)) hide(inner);
      if (isStandard(node)) continue;
      hidden.set(node, node.opType);
      node.opType = `${node.domain}::${node.opType}`;
    }
  };
  hide(graph);
  return () => {
    for (const [node, opType] of hidden) node.opType = opType;
  };
}
