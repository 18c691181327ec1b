import { integerOf } from './attributes.ts';
import type { OnnxGraph, OnnxNode } from './model.ts';
import { readIntegers } from './tensor-data.ts';

/**
 * Ranks of the tensors of a graph as far as they follow from its inputs: enough to tell which MatMul
 * is a Gemm. A tensor whose rank does not follow is absent.
 */
export function inferRanks(graph: OnnxGraph): Map<string, number> {
  const ranks = new Map<string, number>();
  for (const { name, type } of graph.input) {
    if (type?.value.case !== 'tensorType' || type.value.value.shape === undefined) continue;
    ranks.set(name, type.value.value.shape.dim.length);
  }
  for (const { name, dims } of graph.initializer) ranks.set(name, dims.length);
  for (const node of graph.node) {
    const rank = outputRank(node, ranks, graph);
    if (rank === undefined) continue;
    for (const output of node.output) ranks.set(output, rank);
  }
  return ranks;
}

/** Operators whose output has the rank of their first input. */
const RANK_KEEPING = new Set(
  (
    'Conv BatchNormalization Relu Clip LeakyRelu Sigmoid HardSigmoid HardSwish Elu Selu Tanh Softmax ' +
    'MaxPool AveragePool GlobalAveragePool GlobalMaxPool LRN Dropout Identity Pad Concat Transpose ' +
    'LogSoftmax Cast QuantizeLinear DequantizeLinear InstanceNormalization'
  ).split(' '),
);
const BROADCASTING = new Set(['Add', 'Sub', 'Mul', 'Div', 'MatMul']);

function outputRank(
  node: OnnxNode,
  ranks: ReadonlyMap<string, number>,
  graph: OnnxGraph,
): number | undefined {
  const rank = ranks.get(node.input[0] ?? '');
  if (RANK_KEEPING.has(node.opType)) return rank;
  if (BROADCASTING.has(node.opType)) {
    const other = ranks.get(node.input[1] ?? '');
    return rank === undefined || other === undefined ? undefined : Math.max(rank, other);
  }
  switch (node.opType) {
    case 'Flatten':
    case 'Gemm':
      return 2;
    case 'Reshape': {
      const shape = graph.initializer.find(({ name }) => name === node.input[1]);
      return shape === undefined ? undefined : readIntegers(shape).length;
    }
    case 'ReduceMean':
      return integerOf(node, 'keepdims', 1) === 1 ? rank : undefined;
    default:
      return undefined;
  }
}
