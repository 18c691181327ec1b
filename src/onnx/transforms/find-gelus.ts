import { indexGraph, soleConsumer, type GraphIndex } from '../graph-edit.ts';
import type { OnnxGraph, OnnxNode } from '../model.ts';
import { elementCount, isFloatTensor, readFloats } from '../tensor-data.ts';

/** The nodes of x · (1 + erf(x / √2)) / 2, as exporters write a GELU. */
export interface Gelu {
  readonly input: string;
  /** x / √2, a Div or a Mul. */
  readonly scaled: OnnxNode;
  /** 1 + erf(x / √2) */
  readonly sum: OnnxNode;
  /** The Mul of two tensors, and the one by a half, in any order. */
  readonly product: OnnxNode;
  readonly halved: OnnxNode;
  readonly nodes: readonly OnnxNode[];
  /** That of them which makes the result. */
  readonly last: OnnxNode;
}

/** All GELUs of the graph that are written in five nodes which nothing else reads. */
export function findGelus(graph: OnnxGraph): Gelu[] {
  if (!graph.node.some(({ opType }) => opType === 'Erf')) return [];
  const index = indexGraph(graph);
  return graph.node.flatMap((node) => (node.opType === 'Erf' ? (geluOf(node, index) ?? []) : []));
}

function geluOf(erf: OnnxNode, index: GraphIndex): Gelu | undefined {
  const scaled = index.producers.get(erf.input[0] ?? '');
  const sum = soleConsumer(index, erf.output[0] ?? '');
  if (scaled === undefined || soleConsumer(index, erf.input[0] ?? '') !== erf) return undefined;
  const input = scaledOperand(scaled, index);
  if (input === undefined || sum?.opType !== 'Add') return undefined;
  if (otherThan(sum, 1, index) !== erf.output[0]) return undefined;
  const products = productsOf(input, sum, index);
  if (products === undefined) return undefined;
  const { product, halved } = products;
  return { input, scaled, sum, nodes: [scaled, erf, sum, product, halved], ...products };
}

/** x of x / √2 */
function scaledOperand(node: OnnxNode, index: GraphIndex): string | undefined {
  if (node.opType === 'Mul') return otherThan(node, Math.SQRT1_2, index);
  const operand = node.opType === 'Div' ? otherThan(node, Math.SQRT2, index) : undefined;
  return operand === node.input[0] ? operand : undefined;
}

/** (x · sum) / 2, x · (sum / 2) or (x / 2) · sum */
function productsOf(
  input: string,
  sum: OnnxNode,
  index: GraphIndex,
): Pick<Gelu, 'product' | 'halved' | 'last'> | undefined {
  const next = soleConsumer(index, sum.output[0] ?? '');
  if (next?.opType !== 'Mul') return undefined;
  const after = soleConsumer(index, next.output[0] ?? '');
  if (otherThan(next, 0.5, index) !== undefined) {
    const isProduct = after?.opType === 'Mul' && after.input.includes(input);
    return isProduct ? { halved: next, product: after, last: after } : undefined;
  }
  const factor = next.input.find((name) => name !== sum.output[0]) ?? '';
  if (factor === input) {
    const isHalf = after?.opType === 'Mul' && otherThan(after, 0.5, index) === next.output[0];
    return isHalf ? { product: next, halved: after, last: after } : undefined;
  }
  const half = index.producers.get(factor);
  if (half?.opType !== 'Mul' || otherThan(half, 0.5, index) !== input) return undefined;
  return soleConsumer(index, factor) === next
    ? { product: next, halved: half, last: next }
    : undefined;
}

/** The operand beside a constant of this value. */
function otherThan(
  node: OnnxNode,
  value: number,
  { initializers }: GraphIndex,
): string | undefined {
  const isValue = (name: string): boolean => {
    const tensor = initializers.get(name);
    if (tensor === undefined || !isFloatTensor(tensor) || elementCount(tensor) !== 1) return false;
    return Math.abs((readFloats(tensor)[0] ?? NaN) - value) <= TOLERANCE;
  };
  const [a = '', b = ''] = node.input;
  if (isValue(b)) return a;
  return isValue(a) ? b : undefined;
}

/** Of constants that exporters write with as few as four digits. */
const TOLERANCE = 1e-4;
