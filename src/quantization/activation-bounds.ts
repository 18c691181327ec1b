import { soleConsumer, type GraphIndex } from '../onnx/graph-edit.ts';
import type { OnnxNode } from '../onnx/model.ts';
import { isFloatTensor, readFloats } from '../onnx/tensor-data.ts';

/** The Relu, or Clip from 0 to a constant, that alone reads what `node` makes. */
export function fusedActivation(node: OnnxNode, index: GraphIndex): OnnxNode | undefined {
  const consumer = soleConsumer(index, node.output[0] ?? '');
  if (consumer === undefined || consumer.input[0] !== node.output[0]) return undefined;
  return activationBounds(consumer, index)?.low === 0 ? consumer : undefined;
}

/** The least and the largest value that counts; infinite where nothing bounds them. */
export interface Bounds {
  readonly low: number;
  readonly high: number;
}

/** What the Relu or Clip that makes a tensor leaves of its values. */
export function boundsOf(tensor: string, index: GraphIndex): Bounds {
  const producer = index.producers.get(tensor);
  const bounds = producer === undefined ? undefined : activationBounds(producer, index);
  return bounds ?? { low: -Infinity, high: Infinity };
}

/** What a Relu or Clip with constant bounds lets through; undefined for other nodes. */
export function activationBounds(node: OnnxNode, index: GraphIndex): Bounds | undefined {
  if (node.opType === 'Relu') return { low: 0, high: Infinity };
  if (node.opType !== 'Clip') return undefined;
  const low = constantScalar(node.input[1], index, -Infinity);
  const high = constantScalar(node.input[2], index, Infinity);
  return low === undefined || high === undefined || high <= 0 ? undefined : { low, high };
}

/** The value of a constant scalar; `fallback` without a name, undefined for what is no constant. */
export function constantScalar(
  name: string | undefined,
  index: GraphIndex,
  fallback: number,
): number | undefined {
  if (name === undefined || name === '') return fallback;
  const tensor = index.initializers.get(name);
  return tensor === undefined || !isFloatTensor(tensor) ? undefined : readFloats(tensor)[0];
}
