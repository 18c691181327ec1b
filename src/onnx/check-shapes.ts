import { OnnxError } from '../diagnostics/errors.ts';
import { productOf } from './constant-value.ts';
import { shownNode } from './graph-edit.ts';
import type { OnnxGraph } from './model.ts';
import { inferGraph } from './shape-inference.ts';

/** 1 GB as float32: no layer of a classifier comes near it, a damaged dimension does. */
const MAX_ELEMENTS = 2 ** 28;

/**
 * Verifies that no tensor has a size that cannot be, or one that no memory holds, as far as sizes
 * follow from the graph: onnxruntime would take the memory first and complain after.
 * @throws OnnxError `onnx/impossible-shape` naming node and tensor
 */
export function checkShapes(graph: OnnxGraph, shownName: string): void {
  const { shapes } = inferGraph(graph);
  for (const node of graph.node) {
    for (const output of node.output) {
      const shape = shapes.get(output);
      if (shape === undefined) continue;
      // An unknown size, a batch mostly, counts as one.
      const known = shape.filter((dim) => !Number.isNaN(dim));
      const isSound = known.every((dim) => Number.isInteger(dim) && dim >= 0);
      if (isSound && productOf(known) <= MAX_ELEMENTS) continue;
      const dims = shape.map((dim) => (Number.isNaN(dim) ? '?' : dim)).join(', ');
      throw new OnnxError({
        code: 'onnx/impossible-shape',
        message: `${shownName}: node "${shownNode(node)}" (${node.opType}) makes tensor "${output}" with shape [${dims}], expected sizes from 0 and at most ${MAX_ELEMENTS} elements`,
        hint: 'export the model again; an attribute or a weight of the node is damaged',
      });
    }
  }
}
