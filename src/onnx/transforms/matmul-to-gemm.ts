import { makeNode } from '../build.ts';
import { indexGraph, soleConsumer } from '../graph-edit.ts';
import type { OnnxGraph, OnnxNode } from '../model.ts';
import { inferGraph } from '../shape-inference.ts';
import { dimsOf, elementCount, isFloatTensor } from '../tensor-data.ts';

/**
 * Turns a MatMul of [N, K] with constant weights [K, M] into a Gemm, taking in the Add of a constant
 * bias that alone reads it: onnxruntime would else make a float Gemm of the two after quantization.
 */
export function matmulToGemm(graph: OnnxGraph): void {
  const { shapes } = inferGraph(graph);
  for (const node of [...graph.node]) {
    if (node.opType !== 'MatMul' || shapes.get(node.input[0] ?? '')?.length !== 2) continue;
    const index = indexGraph(graph);
    const weight = index.initializers.get(node.input[1] ?? '');
    if (weight?.dims.length !== 2 || !isFloatTensor(weight)) continue;
    const add = soleConsumer(index, node.output[0] ?? '');
    const bias =
      add?.opType === 'Add' ? biasOf(add, node, graph, dimsOf(weight)[1] ?? 0) : undefined;
    const last = add !== undefined && bias !== undefined ? add : node;
    const gemm = makeNode({
      opType: 'Gemm',
      name: node.name,
      inputs: [...node.input, ...(bias === undefined ? [] : [bias])],
      outputs: last.output,
    });
    graph.node = graph.node.flatMap((other) => {
      if (other === last) return [gemm]; // where the Add stood, its operands are made
      return other === node ? [] : [other];
    });
  }
}

/** The name of the Add's other operand when it is a constant with one value a column. */
function biasOf(
  add: OnnxNode,
  matmul: OnnxNode,
  graph: OnnxGraph,
  columnCount: number,
): string | undefined {
  const other = add.input.find((name) => name !== matmul.output[0]);
  const bias = graph.initializer.find(({ name }) => name === other);
  if (bias === undefined || !isFloatTensor(bias) || elementCount(bias) !== columnCount)
    return undefined;
  return dimsOf(bias).at(-1) === columnCount ? bias.name : undefined;
}
