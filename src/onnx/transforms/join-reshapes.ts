import { pruneNodes, type GraphIndex } from '../graph-edit.ts';
import { createLiveIndex } from '../live-index.ts';
import type { OnnxGraph, OnnxNode } from '../model.ts';
import { RESHAPING } from '../reshaping.ts';
import { inferGraph, type Shape } from '../shape-inference.ts';
import { readIntegers } from '../tensor-data.ts';

/**
 * Lets what reads a tensor in the shape that it had some reshapes ago read that: a linear layer's
 * rows, put apart for each image and flattened again for the batch norm behind it or the next linear
 * layer, then meet those directly. Of reshapes in a row the last does it all.
 */
export function joinReshapes(graph: OnnxGraph): void {
  pruneNodes(graph); // a Shape that nobody reads counts as a reader of rows
  const { shapes } = inferGraph(graph);
  const index = createLiveIndex(graph);
  /** What stands before the reshapes that end in `node`, or among them in the shape that it makes. */
  const firstOf = (node: OnnxNode, wanted: Shape): { source: string; isSame: boolean } => {
    for (let [source = ''] = node.input; ;) {
      const shape = shapes.get(source);
      if (shape !== undefined && areAlike(shape, wanted)) return { source, isSame: true };
      const producer = index.producers.get(source);
      if (producer === undefined || !RESHAPING.has(producer.opType)) {
        return { source, isSame: false };
      }
      source = producer.input[0] ?? '';
    }
  };
  for (const node of graph.node) {
    const [output = ''] = node.output;
    const wanted = shapes.get(output);
    if (!RESHAPING.has(node.opType) || wanted === undefined || index.outputs.has(output)) continue;
    const { source, isSame } = firstOf(node, wanted);
    if (isSame) index.bypass(node, source);
    else if (tellsAllSizes(node, index)) index.setInputs(node, [source, ...node.input.slice(1)]);
  }
  index.settle();
  pruneNodes(graph);
}

/** Whether the output of a Reshape does not depend on the shape of what it reads. */
function tellsAllSizes({ opType, input }: OnnxNode, { initializers }: GraphIndex): boolean {
  const sizes = initializers.get(input[1] ?? '');
  return opType === 'Reshape' && sizes !== undefined && !readIntegers(sizes).includes(0);
}

/** Whether two shapes of as many elements are the same: one size that is open then is the same, too. */
function areAlike(a: Shape, b: Shape): boolean {
  if (a.length !== b.length || [...a, ...b].includes(0)) return false;
  const open = a.filter((size, axis) => Number.isNaN(size) || Number.isNaN(b[axis]));
  const isKnown = (size: number, axis: number): boolean =>
    Number.isNaN(size) || Number.isNaN(b[axis]) || size === b[axis];
  return open.length <= 1 && a.every(isKnown);
}
