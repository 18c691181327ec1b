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

/**
 * What of a tensor's values its readers tell apart: all of them a Relu or Clip that is not fused, such
 * as a Hardtanh, or the parts of a HardSwish. Codes for others would be lost.
 */
export function readBoundsOf(tensor: string, index: GraphIndex): Bounds {
  const readers = index.outputs.has(tensor) ? [] : (index.consumers.get(tensor) ?? []);
  const bounds = readers.flatMap((reader) =>
    reader.input[0] === tensor ? (activationBounds(reader, index) ?? []) : [],
  );
  if (bounds.length === 0 || bounds.length < readers.length)
    return { low: leastOfHardSwish(tensor, index), high: Infinity };
  return {
    low: Math.min(...bounds.map(({ low }) => low)),
    high: Math.max(...bounds.map(({ high }) => high)),
  };
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
