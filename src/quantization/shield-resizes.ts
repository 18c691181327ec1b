import { integerOf, stringOf } from '../onnx/attributes.ts';
import { makeNode } from '../onnx/build.ts';
import { nameMaker } from '../onnx/graph-edit.ts';
import type { OnnxGraph, OnnxNode } from '../onnx/model.ts';
import { inferGraph } from '../onnx/shape-inference.ts';
import { readFloats } from '../onnx/tensor-data.ts';

/** Ends the names of the nodes put in here; reports give the reason for them. */
export const RESIZE_SUFFIX = '/keep-layout';

/**
 * Keeps Resizes that shrink by cubic interpolation where channels come first. Behind a layer in integers
 * onnxruntime moves its Transpose from channels last across a Resize, and has no kernel for what then is
 * there (1.30, `EPAwareHandleResize` in core/optimizer/transpose_optimization and `ScalesValidation` in
 * core/providers/cpu/tensor/upsamplebase.h): the model cannot be loaded or run. It moves none across a
 * DepthToSpace, which in blocks of one pixel is a copy; a Reshape to the same shape is dropped before.
 * The nodes of `graph` are in order, and stay so.
 */
export function shieldResizes(graph: OnnxGraph): void {
  const initializers = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  const enlarges = ({ input }: OnnxNode): boolean => {
    const scales = initializers.get(input[2] ?? '');
    return scales !== undefined && readFloats(scales).every((scale) => scale >= 1);
  };
  const shrinking = new Set(graph.node.filter((node) => isPlainCubic(node) && !enlarges(node)));
  if (shrinking.size === 0) return;
  const { shapes } = inferGraph(graph);
  const newName = nameMaker(graph);
  graph.node = graph.node.flatMap((node) => {
    const [tensor = ''] = node.input;
    if (!shrinking.has(node) || shapes.get(tensor)?.length !== IMAGE_AXES) return [node];
    const copy = makeNode({
      opType: 'DepthToSpace',
      name: newName(`${tensor}${RESIZE_SUFFIX}`),
      inputs: [tensor],
      outputs: [newName(`${tensor}_kept`)],
      attributes: { blocksize: 1 },
    });
    node.input[0] = copy.output[0] ?? '';
    return [copy, node];
  });
}

const IMAGE_AXES = 4;

/** With antialiasing onnxruntime shrinks in both layouts. */
function isPlainCubic(node: OnnxNode): boolean {
  return (
    node.opType === 'Resize' &&
    stringOf(node, 'mode', 'nearest') === 'cubic' &&
    integerOf(node, 'antialias', 0) === 0
  );
}
