import {
  indexGraph,
  isStandard,
  shownNode,
  soleConsumer,
  type GraphIndex,
} from '../onnx/graph-edit.ts';
import type { Initializer, OnnxGraph, OnnxNode } from '../onnx/model.ts';
import { isFloatTensor, readFloats, viewFloats } from '../onnx/tensor-data.ts';
import { findGelus } from '../onnx/transforms/find-gelus.ts';
import type { Join } from './align-scales.ts';
import { OPERATORS } from './operators/registry.ts';
import { staysFloat, type Verdict } from './operators/operator.ts';

/** A layer with weights, found in the graph; ranges and numbers come later. */
export interface MarkedLayer {
  readonly node: OnnxNode;
  readonly inputTensor: string;
  readonly weightName: string;
  readonly biasName: string | undefined;
  readonly axis: 0 | 1;
}

/** A tensor that will be quantized, and what its values are known to obey. */
export interface MarkedTensor {
  /** The tensor whose parameters it shares; itself where it has its own. */
  readonly source: string;
  /** Bounds of the Relu or Clip that makes it; the range is clamped to them. */
  readonly low: number;
  readonly high: number;
}

export interface FloatNode {
  readonly node: string;
  readonly operator: string;
  readonly reason: string;
}

/** What the mark phase decided: pure data but for references to the graph's nodes. */
export interface GraphMarks {
  readonly layers: readonly MarkedLayer[];
  readonly tensors: ReadonlyMap<string, MarkedTensor>;
  /** Constant operands of integer operators, by initializer name, and the operators. */
  readonly constants: ReadonlyMap<string, readonly OnnxNode[]>;
  /** What `alignScales` may make exact. */
  readonly joins: readonly Join[];
  readonly floatNodes: readonly FloatNode[];
}

/**
 * Decides for a prepared graph (see `prepareModel`) which nodes run in integers and which tensors are
 * quantized. `excluded` holds names of nodes that shall stay float; with a Relu or Clip the layer does
 * that it is fused into. The rules are those onnxruntime fuses by: no quantization between an operator
 * and its Relu or Clip; both inputs of an Add; MaxPool and reshapes with the same parameters on both
 * sides; no quantization after a Gemm nobody reads in integers.
 */
export function markGraph(graph: OnnxGraph, excluded: ReadonlySet<string> = new Set()): GraphMarks {
  const index = indexGraph(graph);
  const layers: MarkedLayer[] = [];
  const tensors = new Map<string, MarkedTensor>();
  const constants = new Map<string, OnnxNode[]>();
  const joins: Join[] = [];
  const floatNodes: FloatNode[] = [];
  const absorbed = new Set<OnnxNode>();
  const inGelus = new Set(findGelus(graph).flatMap(({ nodes }) => nodes));

  const quantizeTensor = (tensor: string): void => {
    if (!tensors.has(tensor)) tensors.set(tensor, { source: tensor, ...boundsOf(tensor, index) });
  };
  /** Returns the tensor that has the parameters of what `node` makes. */
  const quantizeOutput = (node: OnnxNode, floatOutput: boolean): string => {
    const output = node.output[0] ?? '';
    const activation = fusedActivation(node, index);
    if (activation === undefined) {
      // Its readers ask for it when they run in integers; a convolution needs it to fuse at all.
      if (!floatOutput) quantizeTensor(output);
      return output;
    }
    absorbed.add(activation);
    const activated = activation.output[0] ?? '';
    quantizeTensor(activated);
    return activated;
  };

  for (const node of graph.node) {
    if (absorbed.has(node)) continue;
    const verdict = inGelus.has(node)
      ? staysFloat('it is part of a GELU, which onnxruntime runs as one float operator')
      : verdictOn(node, index, tensors, excluded);
    switch (verdict.kind) {
      case 'weighted':
        layers.push({ ...verdict, node, inputTensor: node.input[0] ?? '' });
        quantizeTensor(node.input[0] ?? '');
        quantizeOutput(node, verdict.floatOutput);
        break;
      case 'integer':
        for (const input of node.input) {
          const readers = constants.get(input);
          if (readers !== undefined) readers.push(node);
          else if (index.initializers.has(input)) constants.set(input, [node]);
          else quantizeTensor(input);
        }
        joins.push(...joinOf(node, quantizeOutput(node, false), constants));
        break;
      case 'shared': {
        const source = tensors.get(node.input[0] ?? '');
        if (source === undefined) break; // between float operators it is free in float
        for (const output of node.output) if (output !== '') tensors.set(output, source);
        break;
      }
      case 'float':
        floatNodes.push({
          node: shownNode(node),
          operator: node.opType,
          reason: verdict.reason,
        });
        break;
    }
  }
  return { layers, tensors, constants, joins, floatNodes };
}

/** onnxruntime adds in float32, where the codes of other values would be lost beside larger ones. */
const LARGEST_OPERAND = 1e5;

function hasCodes(operand: Initializer): boolean {
  return viewFloats(operand).every((value) => Math.abs(value) <= LARGEST_OPERAND);
}

/** Constant operands have scales of their own. */
function joinOf(node: OnnxNode, output: string, constants: GraphMarks['constants']): Join[] {
  const { opType: kind, input: inputs } = node;
  if (kind !== 'Add' && kind !== 'Concat') return [];
  return inputs.some((input) => constants.has(input)) ? [] : [{ kind, inputs, output }];
}

function verdictOn(
  node: OnnxNode,
  index: GraphIndex,
  tensors: ReadonlyMap<string, MarkedTensor>,
  excluded: ReadonlySet<string>,
): Verdict {
  if (excluded.has(shownNode(node))) return staysFloat('it was excluded by parameter');
  const mark = Object.hasOwn(OPERATORS, node.opType) ? OPERATORS[node.opType] : undefined;
  if (mark === undefined || !isStandard(node))
    return staysFloat('onnxruntime has no integer form of it on the CPU');
  const verdict = mark(node, index);
  if (verdict.kind !== 'weighted' && verdict.kind !== 'integer') return verdict;
  const activation = fusedActivation(node, index);
  if (activation !== undefined && excluded.has(shownNode(activation)))
    return staysFloat(`its activation "${shownNode(activation)}" was excluded by parameter`);
  if (verdict.kind === 'weighted') return verdict;
  const operands = node.input.filter((input) => input !== '');
  const constantOperands = operands.map((name) => index.initializers.get(name));
  if (constantOperands.some((tensor) => tensor !== undefined && !isFloatTensor(tensor)))
    return staysFloat('an operand is not float32');
  if (constantOperands.some((tensor) => tensor !== undefined && !hasCodes(tensor)))
    return staysFloat(`an operand holds values beyond ${LARGEST_OPERAND}, as masks do`);
  if (!operands.some((input) => tensors.has(input)))
    return staysFloat(
      operands.some((input) => index.producers.get(input)?.opType === 'Gemm')
        ? 'its inputs are float: a Gemm gives float results where nothing reads them in integers'
        : 'none of its inputs comes from an operator that runs in integers',
    );
  return verdict;
}

/** The Relu, or Clip from 0 to a constant, that alone reads what `node` makes. */
function fusedActivation(node: OnnxNode, index: GraphIndex): OnnxNode | undefined {
  const consumer = soleConsumer(index, node.output[0] ?? '');
  if (consumer === undefined || consumer.input[0] !== node.output[0]) return undefined;
  return activationBounds(consumer, index)?.low === 0 ? consumer : undefined;
}

interface Bounds {
  readonly low: number;
  readonly high: number;
}

function boundsOf(tensor: string, index: GraphIndex): Bounds {
  const producer = index.producers.get(tensor);
  const bounds = producer === undefined ? undefined : activationBounds(producer, index);
  return bounds ?? { low: leastOfHardSwish(tensor, index), high: Infinity };
}

/** -c where all that reads x are the parts of x · clip(x + c, 0, …): what is less gives 0 like -c. */
function leastOfHardSwish(tensor: string, index: GraphIndex): number {
  const readers = index.consumers.get(tensor) ?? [];
  const sum = readers.find(({ opType, input }) => opType === 'Add' && input[0] === tensor);
  const shift = constantScalar(sum?.input[1], index, NaN);
  if (sum === undefined || shift === undefined || !(shift > 0)) return -Infinity;
  const clip = soleConsumer(index, sum.output[0] ?? '');
  if (clip === undefined || activationBounds(clip, index)?.low !== 0) return -Infinity;
  const product = soleConsumer(index, clip.output[0] ?? '');
  const isAll = readers.length === 2 && !index.outputs.has(tensor) && readers.includes(product!);
  return product?.opType === 'Mul' && isAll ? -shift : -Infinity;
}

/** What a Relu or Clip with constant bounds lets through; undefined for other nodes. */
function activationBounds(node: OnnxNode, index: GraphIndex): Bounds | undefined {
  if (node.opType === 'Relu') return { low: 0, high: Infinity };
  if (node.opType !== 'Clip') return undefined;
  const low = constantScalar(node.input[1], index, -Infinity);
  const high = constantScalar(node.input[2], index, Infinity);
  return low === undefined || high === undefined || high <= 0 ? undefined : { low, high };
}

function constantScalar(
  name: string | undefined,
  index: GraphIndex,
  fallback: number,
): number | undefined {
  if (name === undefined || name === '') return fallback;
  const tensor = index.initializers.get(name);
  return tensor === undefined || !isFloatTensor(tensor) ? undefined : readFloats(tensor)[0];
}
