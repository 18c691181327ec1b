import { makeIntegers, makeNode, makeTensor } from '../build.ts';
import { nameMaker, soleConsumer, type GraphIndex } from '../graph-edit.ts';
import { createLiveIndex, type LiveIndex } from '../live-index.ts';
import type { Initializer, OnnxGraph, OnnxNode } from '../model.ts';
import { inferGraph, type Shape } from '../shape-inference.ts';
import { dimsOf, elementCount, isFloatTensor, readFloats } from '../tensor-data.ts';

/**
 * Turns a MatMul of [N, K] with constant weights [K, M] into a Gemm, taking in the Add of a constant
 * bias that alone reads it: onnxruntime would else make a float Gemm of the two after quantization. One
 * of more axes, a linear layer on each place of an image, becomes the Gemm of all places as rows; weights
 * [1, K, M] are the same matrix.
 */
export function matmulToGemm(graph: OnnxGraph): void {
  const { shapes } = inferGraph(graph);
  const newName = nameMaker(graph);
  const index = createLiveIndex(graph);
  for (const node of graph.node) {
    const shape = shapes.get(node.input[0] ?? '');
    if (node.opType !== 'MatMul' || shape === undefined || !hasRows(shape)) continue;
    const weight = index.initializers.get(node.input[1] ?? '');
    if (weight === undefined || !isMatrix(weight, shape.length)) continue;
    const [rowSize = 0, columnCount = 0] = dimsOf(weight).slice(-2);
    if (weight.dims.length > 2) {
      const name = newName(`${weight.name}_matrix`);
      index.addInitializer(makeTensor(name, [rowSize, columnCount], readFloats(weight)));
      index.setInputs(node, [node.input[0] ?? '', name]);
    }
    const add = soleConsumer(index, node.output[0] ?? '');
    const bias = add?.opType === 'Add' ? biasOf(add, node, index, columnCount) : undefined;
    const sum = add !== undefined && bias !== undefined ? add : node;
    const next = soleConsumer(index, sum.output[0] ?? '');
    // On rows, so that it fuses with the Gemm.
    const activation = shape.length > 2 && isActivation(next, sum) ? next : undefined;
    const last = activation ?? sum;
    const places = { shape, rowSize, columnCount, index, newName };
    const gemms = gemmOf(node, { sum, activation, bias }, places);
    index.replaceNode(node);
    index.replaceNode(sum);
    index.replaceNode(last, gemms); // where the Add stood, its operands are made
  }
  index.settle();
}

/** Whether its rows can be put one below the other and apart again: one size of them may be open. */
function hasRows(shape: Shape): boolean {
  return shape.length >= 2 && shape.slice(0, -1).filter(Number.isNaN).length <= 1;
}

/** Whether these weights are one matrix, and leave the product as many axes as its rows have. */
function isMatrix(weight: Initializer, rank: number): boolean {
  const dims = dimsOf(weight);
  if (!isFloatTensor(weight) || dims.length < 2 || dims.length > rank) return false;
  return dims.slice(0, -2).every((dim) => dim === 1);
}

function isActivation(node: OnnxNode | undefined, made: OnnxNode): node is OnnxNode {
  if (node?.opType !== 'Relu' && node?.opType !== 'Clip') return false;
  return node.input[0] === made.output[0];
}

interface Followers {
  /** The Add of the bias, or the MatMul itself. */
  readonly sum: OnnxNode;
  readonly activation: OnnxNode | undefined;
  readonly bias: string | undefined;
}

interface Places {
  /** Of the MatMul's input. */
  readonly shape: Shape;
  readonly rowSize: number;
  readonly columnCount: number;
  readonly index: LiveIndex;
  readonly newName: (wanted: string) => string;
}

function gemmOf(
  matmul: OnnxNode,
  { sum, activation, bias }: Followers,
  { shape, rowSize, columnCount, index, newName }: Places,
): OnnxNode[] {
  const [input = '', weight = ''] = matmul.input;
  const [output = ''] = (activation ?? sum).output;
  const isFlat = shape.length === 2;
  const rows = isFlat ? input : newName(`${input}_rows`);
  const result = isFlat ? output : newName(`${sum.output[0] ?? ''}_rows`);
  const gemm = makeNode({
    opType: 'Gemm',
    name: matmul.name,
    inputs: [rows, weight, ...(bias === undefined ? [] : [bias])],
    outputs: [result],
  });
  if (isFlat) return [gemm];
  const reshape = (from: string, to: string, sizes: readonly number[]): OnnxNode => {
    const wanted = newName(`${to}_shape`);
    index.addInitializer(makeIntegers(wanted, sizes));
    return makeNode({
      ...{ opType: 'Reshape', name: newName(`${to}/reshape`) },
      ...{ inputs: [from, wanted], outputs: [to] },
    });
  };
  const places = shape.slice(0, -1).map((size) => (Number.isNaN(size) ? -1 : size));
  const made = [reshape(input, rows, [-1, rowSize]), gemm];
  let value = result;
  if (activation !== undefined) {
    value = newName(`${output}_rows`);
    index.setInputs(activation, [result, ...activation.input.slice(1)]);
    index.setOutputs(activation, [value]);
    made.push(activation);
  }
  return [...made, reshape(value, output, [...places, columnCount])];
}

/** The name of the Add's other operand when it is a constant with one value a column. */
function biasOf(
  add: OnnxNode,
  matmul: OnnxNode,
  { initializers }: GraphIndex,
  columnCount: number,
): string | undefined {
  const other = add.input.find((name) => name !== matmul.output[0]);
  const bias = initializers.get(other ?? '');
  if (bias === undefined || !isFloatTensor(bias) || elementCount(bias) !== columnCount)
    return undefined;
  const dims = dimsOf(bias);
  return dims.length <= 2 && dims.at(-1) === columnCount ? bias.name : undefined;
}
