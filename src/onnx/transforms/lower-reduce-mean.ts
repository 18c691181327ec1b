import { integerOf, integersOf } from '../attributes.ts';
import { makeNode } from '../build.ts';
import { nameMaker } from '../graph-edit.ts';
import type { OnnxGraph, OnnxNode } from '../model.ts';
import { inferGraph } from '../shape-inference.ts';
import { readIntegers } from '../tensor-data.ts';

/**
 * Turns ReduceMean over the two image axes of [N, C, H, W] into GlobalAveragePool (and a Flatten where
 * the axes are dropped): onnxruntime has an integer form of the pool only.
 */
export function lowerReduceMean(graph: OnnxGraph): void {
  const newName = nameMaker(graph);
  const { shapes } = inferGraph(graph);
  graph.node = graph.node.flatMap((node) => {
    if (node.opType !== 'ReduceMean' || shapes.get(node.input[0] ?? '')?.length !== 4)
      return [node];
    if (!reducesImageAxes(node, graph)) return [node];
    const [input = ''] = node.input;
    const [output = ''] = node.output;
    const keepsAxes = integerOf(node, 'keepdims', 1) === 1;
    const pooled = keepsAxes ? output : newName(`${output}_pooled`);
    const pool = makeNode({
      opType: 'GlobalAveragePool',
      name: node.name === '' ? newName(`${output}/pool`) : node.name,
      inputs: [input],
      outputs: [pooled],
    });
    if (keepsAxes) return [pool];
    // [N, C, 1, 1] → [N, C]
    const flatten = makeNode({
      opType: 'Flatten',
      name: newName(`${output}/flatten`),
      inputs: [pooled],
      outputs: [output],
    });
    return [pool, flatten];
  });
}

/** The axes are an attribute up to opset 17, an input from 18 on. */
function reducesImageAxes(node: OnnxNode, graph: OnnxGraph): boolean {
  const tensor = graph.initializer.find(({ name }) => name === node.input[1]);
  const axes = integersOf(node, 'axes') ?? (tensor === undefined ? [] : readIntegers(tensor));
  const positive = axes.map((axis) => (axis < 0 ? axis + 4 : axis)).sort();
  return positive.length === 2 && positive[0] === 2 && positive[1] === 3;
}
