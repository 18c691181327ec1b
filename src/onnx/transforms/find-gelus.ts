import { indexGraph, soleConsumer, type GraphIndex } from '../graph-edit.ts';
import type { OnnxGraph, OnnxNode } from '../model.ts';
import { elementCount, isFloatTensor, readFloats } from '../tensor-data.ts';

/** The nodes of x · (1 + erf(x / √2)) / 2, as exporters write a GELU. */
export interface Gelu {
  readonly input: string;
  /** x / √2, a Div or a Mul. */
  readonly scaled: OnnxNode;
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
  const follower = (node: OnnxNode | undefined, opType: string): OnnxNode | undefined => {
    const next = soleConsumer(index, node?.output[0] ?? '');
    return next?.opType === opType ? next : undefined;
  };
  const scaled = index.producers.get(erf.input[0] ?? '');
  if (scaled === undefined || soleConsumer(index, erf.input[0] ?? '') !== erf) return undefined;
  const input = otherThan(scaled, scaled.opType === 'Div' ? Math.SQRT2 : Math.SQRT1_2, index);
  const isScaling =
    scaled.opType === 'Mul' || (scaled.opType === 'Div' && input === scaled.input[0]);
  const sum = follower(erf, 'Add');
  const product = follower(sum, 'Mul');
  if (input === undefined || !isScaling || sum === undefined || product === undefined)
    return undefined;
  if (otherThan(sum, 1, index) !== erf.output[0]) return undefined;
  const factor = product.input.find((name) => name !== sum.output[0]) ?? '';
  const halved = factor === input ? follower(product, 'Mul') : index.producers.get(factor);
  if (halved?.opType !== 'Mul') return undefined;
  const isHalf = otherThan(halved, 0.5, index) === (factor === input ? product.output[0] : input);
  if (!isHalf || (factor !== input && soleConsumer(index, factor) !== product)) return undefined;
  const last = factor === input ? halved : product;
  return { input, scaled, nodes: [scaled, erf, sum, product, halved], last };
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
