import { integerOf, removeAttributes } from '../attributes.ts';
import { makeIntegers } from '../build.ts';
import { nameMaker, type GraphIndex } from '../graph-edit.ts';
import { createLiveIndex } from '../live-index.ts';
import type { OnnxGraph, OnnxNode } from '../model.ts';
import { inferGraph, type InferredGraph, type Shape } from '../shape-inference.ts';

/**
 * Removes each Expand whose readers repeat values by themselves, as between the gate of a channel and
 * the image it scales, and writes a Gather of all values in their order as the Reshape that it is:
 * neither has an integer form, and the copy of an Expand is as large as the image.
 */
export function dropCopies(graph: OnnxGraph): void {
  if (!graph.node.some(({ opType }) => opType === 'Expand' || opType === 'Gather')) return;
  const inferred = inferGraph(graph);
  const newName = nameMaker(graph);
  const index = createLiveIndex(graph);
  for (const node of graph.node) {
    const [input = ''] = node.input;
    if (node.opType === 'Expand' && isRepeatedAnyway(node, index, inferred.shapes))
      index.bypass(node, input);
    const shape = node.opType === 'Gather' ? orderedShape(node, inferred) : undefined;
    if (shape === undefined) continue;
    const name = newName(`${node.output[0] ?? ''}_shape`);
    index.addInitializer(makeIntegers(name, shape));
    node.opType = 'Reshape';
    index.setInputs(node, [input, name]);
    removeAttributes(node, 'axis');
  }
  index.settle();
}

const REPEATING = new Set(['Add', 'Sub', 'Mul', 'Div']);

function isRepeatedAnyway(
  expand: OnnxNode,
  { consumers, outputs }: GraphIndex,
  shapes: ReadonlyMap<string, Shape>,
): boolean {
  const [output = ''] = expand.output;
  const before = shapes.get(expand.input[0] ?? '');
  const after = shapes.get(output);
  const readers = consumers.get(output) ?? [];
  if (before === undefined || after?.length !== before.length) return false;
  if (outputs.has(output) || readers.length === 0) return false;
  return readers.every(({ opType, input }) => {
    const others = input.filter((name) => name !== output);
    const other = shapes.get(others[0] ?? '');
    if (!REPEATING.has(opType) || others.length !== 1) return false;
    return (
      other?.length === before.length &&
      before.every((dim, i) => {
        const size = after[i]!; // of the same rank
        const isBatch = i === 0 && Number.isNaN(dim) && Number.isNaN(size);
        return dim === size || isBatch || (dim === 1 && other[i] === size);
      })
    );
  });
}

/** The shape of the indices, where they are 0, 1, … up to the last value of a list. */
function orderedShape(node: OnnxNode, { shapes, valueOf }: InferredGraph): Shape | undefined {
  const [input = '', name = ''] = node.input;
  const shape = shapes.get(input);
  const indices = valueOf(name);
  if (shape?.length !== 1 || indices === undefined || integerOf(node, 'axis', 0) > 0)
    return undefined;
  const isAll = indices.data.length === shape[0] && indices.data.every((index, i) => index === i);
  return isAll ? indices.dims : undefined;
}
