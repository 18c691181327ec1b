import { integersOf, removeAttributes, stringOf } from '../attributes.ts';
import { makeTensor } from '../build.ts';
import { indexGraph, nameMaker } from '../graph-edit.ts';
import type { OnnxGraph, OnnxNode } from '../model.ts';
import { inferGraph, type Shape } from '../shape-inference.ts';
import { readFloats, readIntegers } from '../tensor-data.ts';

/**
 * Writes a Resize of some axes only (from opset 18 on) as one of all axes by scales: onnxruntime 1.30
 * reads the lists wrongly once it has put a transposition through such a node. Sizes become the scales
 * that give them; where none does, or they are computed, the node stays.
 */
export function fullResizes(graph: OnnxGraph): void {
  const partial = graph.node.filter(
    (node) => node.opType === 'Resize' && integersOf(node, 'axes') !== undefined,
  );
  if (partial.length === 0) return;
  const { shapes } = inferGraph(graph);
  const newName = nameMaker(graph);
  for (const node of partial) {
    const shape = shapes.get(node.input[0] ?? '');
    const scales = shape === undefined ? undefined : scalesOf(node, shape, graph);
    if (scales === undefined) continue;
    const name = newName(`${node.output[0] ?? ''}_scales_of_all_axes`);
    graph.initializer.push(makeTensor(name, [scales.length], scales));
    node.input = [node.input[0] ?? '', '', name];
    removeAttributes(node, 'axes', 'keep_aspect_ratio_policy');
  }
}

function scalesOf(node: OnnxNode, shape: Shape, graph: OnnxGraph): Float32Array | undefined {
  const { initializers } = indexGraph(graph);
  const [, region = '', scalesName = '', sizesName = ''] = node.input;
  const [scales, sizes] = [initializers.get(scalesName), initializers.get(sizesName)];
  const axes = (integersOf(node, 'axes') ?? []).map((axis) =>
    axis < 0 ? axis + shape.length : axis,
  );
  // A region of interest has an entry an axis, too, but counts in one mode alone.
  const mode = stringOf(node, 'coordinate_transformation_mode', 'half_pixel');
  if (region !== '' && mode === 'tf_crop_and_resize') return undefined;
  const all = new Float32Array(shape.length).fill(1);
  if (scales !== undefined) {
    for (const [i, scale] of readFloats(scales).entries()) all[axes[i] ?? -1] = scale;
    return all;
  }
  if (sizes === undefined) return undefined;
  const places = readIntegers(sizes).map((size, i) => ({
    size,
    from: shape[axes[i] ?? -1] ?? NaN,
  }));
  for (const [i, size] of keptSizes(places, node).entries()) {
    const scale = scaleTo(size, places[i]!.from); // as many
    if (scale === undefined) return undefined;
    all[axes[i] ?? -1] = scale;
  }
  return all;
}

/** What the sizes become that bound an image whose proportions stay (ONNX Resize, opset 18). */
function keptSizes(
  places: readonly { readonly size: number; readonly from: number }[],
  node: OnnxNode,
): number[] {
  const policy = stringOf(node, 'keep_aspect_ratio_policy', 'stretch');
  const scales = places.map(({ size, from }) => size / from);
  if (policy === 'stretch') return places.map(({ size }) => size);
  const scale = policy === 'not_larger' ? Math.min(...scales) : Math.max(...scales);
  // Where the one scale gives no whole sizes, no scale of each axis does the same.
  return places.map(({ from }) => (Number.isInteger(from * scale) ? from * scale : NaN));
}

/** The float32 scale that onnxruntime makes `size` of `from` by: floor(from · scale), in float32. */
function scaleTo(size: number, from: number): number | undefined {
  const scale = Math.fround(size / from);
  const candidates = [scale, Math.fround(scale * (1 + 2 ** -23))];
  return candidates.find((each) => Math.floor(Math.fround(from * each)) === size);
}
