import { soleConsumer, type GraphIndex } from '../onnx/graph-edit.ts';
import type { OnnxNode } from '../onnx/model.ts';
import { dimsOf, isFloatTensor, readFloats } from '../onnx/tensor-data.ts';
import { activationBounds, constantScalar } from './activation-bounds.ts';

/**
 * c of a node x + c where all that reads x are the parts of x · clip(x + c, 0, …), the form that
 * `lowerHardSwish` gives; undefined for other nodes. With the channels of x scaled by s_c the node is a
 * convolution x_c / s_c + c, and the largest c · s_c is given.
 */
export function hardSwishShift(node: OnnxNode, index: GraphIndex): number | undefined {
  const [tensor = ''] = node.input;
  const readers = index.consumers.get(tensor) ?? [];
  if (readers.length !== 2 || index.outputs.has(tensor)) return undefined;
  const shift =
    node.opType === 'Add' ? constantScalar(node.input[1], index, NaN) : largestShift(node, index);
  if (shift === undefined || !(shift > 0)) return undefined;
  const clip = soleConsumer(index, node.output[0] ?? '');
  if (clip === undefined || activationBounds(clip, index)?.low !== 0) return undefined;
  const product = soleConsumer(index, clip.output[0] ?? '');
  return product?.opType === 'Mul' && readers.includes(product) ? shift : undefined;
}

/** The largest b_c / w_c of a convolution w_c · x_c + b_c that takes each channel by itself, w_c > 0. */
function largestShift(node: OnnxNode, index: GraphIndex): number | undefined {
  if (node.opType !== 'Conv') return undefined;
  const [weights, biases] = [node.input[1], node.input[2]].map((name) =>
    index.initializers.get(name ?? ''),
  );
  if (weights === undefined || biases === undefined) return undefined;
  if (!isFloatTensor(weights) || !isFloatTensor(biases)) return undefined;
  const [count = 0, ...others] = dimsOf(weights);
  // [C, 1, 1, 1]
  if (others.some((size) => size !== 1)) return undefined;
  const [factors, shifts] = [readFloats(weights), readFloats(biases)];
  if (shifts.length !== count || factors.some((factor) => !(factor > 0))) return undefined;
  return shifts.reduce((most, shift, c) => Math.max(most, shift / factors[c]!), 0); // one a channel
}

/** The least of x that a HardSwish behind it tells from what is less: both give 0; -Infinity for any other x. */
export function leastGated(tensor: string, index: GraphIndex): number {
  for (const reader of index.consumers.get(tensor) ?? []) {
    const shift = reader.input[0] === tensor ? hardSwishShift(reader, index) : undefined;
    if (shift !== undefined) return -shift;
  }
  return -Infinity;
}
