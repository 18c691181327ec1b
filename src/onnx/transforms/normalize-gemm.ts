import { floatOf, integerOf, integersOf, removeAttributes } from '../attributes.ts';
import { makeNode, makeTensor } from '../build.ts';
import { nameMaker } from '../graph-edit.ts';
import type { OnnxGraph, OnnxNode } from '../model.ts';
import { dimsOf, isFloatTensor, readFloats } from '../tensor-data.ts';

/**
 * Writes every Gemm with constant weights and bias with alpha and beta 1, a bias of one value a
 * column and an input that it does not transpose: the only form onnxruntime has in integers. A Transpose
 * before it does that, unless it only undoes one.
 */
export function normalizeGemm(graph: OnnxGraph): void {
  const newName = nameMaker(graph);
  transposeBefore(graph, newName);
  const initializers = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  for (const node of graph.node) {
    if (node.opType !== 'Gemm') continue;
    const weight = initializers.get(node.input[1] ?? '');
    const biasName = node.input[2] ?? '';
    const bias = biasName === '' ? undefined : initializers.get(biasName);
    if (weight === undefined || !isFloatTensor(weight) || weight.dims.length !== 2) continue;
    if (biasName !== '' && (bias === undefined || !isFloatTensor(bias))) continue;
    const alpha = floatOf(node, 'alpha', 1);
    const beta = floatOf(node, 'beta', 1);
    const columns = dimsOf(weight)[integerOf(node, 'transB', 0) === 0 ? 1 : 0] ?? 0;
    const values = bias === undefined ? undefined : readFloats(bias);
    const isRow = values?.length === columns && bias?.dims.at(-1) === BigInt(columns);
    if (values !== undefined && !isRow && values.length !== 1) continue; // one value a row
    if (alpha !== 1) {
      const name = newName(`${weight.name}_scaled`);
      const scaled = readFloats(weight).map((value) => value * alpha);
      graph.initializer.push(makeTensor(name, dimsOf(weight), scaled));
      node.input[1] = name;
    }
    if (bias !== undefined && (beta !== 1 || !isRow || bias.dims.length !== 1)) {
      const name = newName(`${bias.name}_scaled`);
      const data = Float32Array.from(
        { length: columns },
        (_, i) => beta * (values?.[isRow ? i : 0] ?? 0),
      );
      graph.initializer.push(makeTensor(name, [columns], data));
      node.input[2] = name;
    }
    removeAttributes(node, 'alpha', 'beta');
  }
}

/** [K, N], which transA makes [N, K], by a Transpose of its own. */
function transposeBefore(graph: OnnxGraph, newName: (wanted: string) => string): void {
  const weights = new Set(graph.initializer.filter(isFloatTensor).map(({ name }) => name));
  const sources = new Map(
    graph.node.filter(isSwap).map(({ input, output }) => [output[0], input[0]]),
  );
  graph.node = graph.node.flatMap((node) => {
    const [input = '', weight = ''] = node.input;
    if (node.opType !== 'Gemm' || integerOf(node, 'transA', 0) === 0 || !weights.has(weight))
      return [node];
    removeAttributes(node, 'transA');
    const source = sources.get(input);
    node.input[0] = source ?? newName(`${input}_transposed`);
    if (source !== undefined) return [node];
    const transpose = makeNode({
      ...{ opType: 'Transpose', name: newName(`${node.name}/transpose`) },
      ...{ inputs: [input], outputs: [node.input[0]], attributes: { perm: [1, 0] } },
    });
    return [transpose, node];
  });
}

function isSwap(node: OnnxNode): boolean {
  if (node.opType !== 'Transpose') return false;
  return integersOf(node, 'perm')?.join() === '1,0';
}
