import type { GraphIndex } from '../../onnx/graph-edit.ts';
import type { OnnxNode } from '../../onnx/model.ts';

/** What an operator family decides about one node, from the graph alone. */
export type Verdict =
  /** A layer with constant weights: int8 weights, int32 bias, uint8 input and output. */
  | {
      readonly kind: 'weighted';
      readonly weightName: string;
      readonly biasName: string | undefined;
      /** Axis of the output channels in the weight tensor. */
      readonly axis: 0 | 1;
      /** Whether onnxruntime has a form with integer input and float output. */
      readonly floatOutput: boolean;
    }
  /** Reads and writes uint8, each tensor with parameters of its own. */
  | { readonly kind: 'integer' }
  /** Only moves or picks values: the output keeps the parameters of the input. */
  | { readonly kind: 'shared' }
  | { readonly kind: 'float'; readonly reason: string };

/** One operator family: decides from node and graph; changes nothing. */
export type MarkOperator = (node: OnnxNode, index: GraphIndex) => Verdict;

export function staysFloat(reason: string): Verdict {
  return { kind: 'float', reason };
}
