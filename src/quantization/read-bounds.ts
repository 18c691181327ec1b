import { soleConsumer, type GraphIndex } from '../onnx/graph-edit.ts';
import type { OnnxNode } from '../onnx/model.ts';
import { activationBounds, type Bounds } from './activation-bounds.ts';
import { leastGated } from './hard-swish-gate.ts';

/**
 * What of a tensor's values its readers tell apart: all of them a Relu or Clip that is not fused, such
 * as a Hardtanh, or a Sigmoid that gates something, or the parts of a HardSwish or SiLU. Codes for
 * others would be lost.
 */
export function readBoundsOf(tensor: string, index: GraphIndex): Bounds {
  const readers = index.outputs.has(tensor) ? [] : (index.consumers.get(tensor) ?? []);
  const bounds = readers.flatMap((reader) =>
    reader.input[0] !== tensor
      ? []
      : gatedBySigmoid(reader, index) !== undefined
        ? SIGMOID_BOUNDS
        : (activationBounds(reader, index) ?? []),
  );
  if (bounds.length === 0 || bounds.length < readers.length) {
    const low = isReadBySilu(readers, index) ? SIGMOID_BOUNDS.low : leastGated(tensor, index);
    return { low, high: Infinity };
  }
  return {
    low: Math.min(...bounds.map(({ low }) => low)),
    high: Math.max(...bounds.map(({ high }) => high)),
  };
}

/**
 * σ(-6.5) is 0.0015, less than half a step of codes for [0, 1]: below it the code is 0, beyond 6.5 the
 * last. A pretrained YOLOv8n is at 38.3 dB of its outputs so, at 36.7 with all that is reached.
 */
const SIGMOID_BOUNDS: Bounds = { low: -6.5, high: 6.5 };

/** The product that alone reads σ(x). */
function gatedBySigmoid(node: OnnxNode, index: GraphIndex): OnnxNode | undefined {
  if (node.opType !== 'Sigmoid') return undefined;
  const product = soleConsumer(index, node.output[0] ?? '');
  return product?.opType === 'Mul' ? product : undefined;
}

/** Whether all that reads x are the parts of x · σ(x): where the code of σ(x) is 0, any x will do. */
function isReadBySilu(readers: readonly OnnxNode[], index: GraphIndex): boolean {
  const products = readers.flatMap((reader) => gatedBySigmoid(reader, index) ?? []);
  return readers.length === 2 && products.some((product) => readers.includes(product));
}
