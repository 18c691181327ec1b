import { indexGraph, shownNode } from '../onnx/graph-edit.ts';
import type { OnnxGraph, OnnxNode } from '../onnx/model.ts';
import { boundsOf, type Bounds } from './activation-bounds.ts';
import type { Join } from './align-scales.ts';
import { decideNodes } from './decide-nodes.ts';
import { readBoundsOf } from './read-bounds.ts';

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
  /** What its readers tell apart of its values (see `readBoundsOf`); the range is clamped to it, too. */
  readonly read: Bounds;
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

  const quantizeTensor = (tensor: string): void => {
    if (tensors.has(tensor)) return;
    const read = readBoundsOf(tensor, index);
    tensors.set(tensor, { source: tensor, ...boundsOf(tensor, index), read });
  };
  for (const [node, { verdict, coded }] of decideNodes(graph, index, excluded)) {
    switch (verdict.kind) {
      case 'weighted':
        layers.push({ ...verdict, node, inputTensor: node.input[0] ?? '' });
        coded.forEach(quantizeTensor);
        break;
      case 'integer':
        for (const input of node.input) {
          const readers = constants.get(input);
          if (readers !== undefined) readers.push(node);
          else if (index.initializers.has(input)) constants.set(input, [node]);
        }
        coded.forEach(quantizeTensor);
        joins.push(...joinOf(node, coded.at(-1) ?? '', constants));
        break;
      case 'shared': {
        const [input, ...outputs] = coded;
        if (input === undefined) break; // between float operators it is free in float
        quantizeTensor(input); // what asks for it may come later
        const source = tensors.get(input)!; // as of the line before
        for (const output of outputs) tensors.set(output, source);
        break;
      }
      case 'float':
        floatNodes.push({ node: shownNode(node), operator: node.opType, reason: verdict.reason });
        break;
    }
  }
  return { layers, tensors, constants, joins, floatNodes };
}

/** Constant operands have scales of their own. */
function joinOf(node: OnnxNode, output: string, constants: GraphMarks['constants']): Join[] {
  const { opType: kind, input: inputs } = node;
  if (kind !== 'Add' && kind !== 'Concat') return [];
  return inputs.some((input) => constants.has(input)) ? [] : [{ kind, inputs, output }];
}
