import type { GraphIndex } from '../onnx/graph-edit.ts';
import { activationBounds, type Bounds } from './activation-bounds.ts';
import { leastGated } from './hard-swish-gate.ts';

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
    return { low: leastGated(tensor, index), high: Infinity };
  return {
    low: Math.min(...bounds.map(({ low }) => low)),
    high: Math.max(...bounds.map(({ high }) => high)),
  };
}
