import type { GraphIndex } from '../../onnx/graph-edit.ts';
import type { OnnxNode } from '../../onnx/model.ts';
import { isFloatTensor, readFloats } from '../../onnx/tensor-data.ts';
import { stringOf } from '../../onnx/attributes.ts';
import { staysFloat, type Verdict } from './operator.ts';

/** Resize on uint8 codes: copies of neighbours are exact, interpolated values onnxruntime has in float only. */
export function markResize(node: OnnxNode): Verdict {
  const mode = stringOf(node, 'mode', 'nearest');
  return mode === 'nearest' ? { kind: 'shared' } : staysFloat(`it interpolates (mode ${mode})`);
}

/** Pad runs on uint8 codes (see `computeOnCodes`) when what it fills in is a constant code. */
export function markPad(node: OnnxNode, index: GraphIndex): Verdict {
  if ((node.input[3] ?? '') !== '') return staysFloat('the axes it pads are computed in the graph');
  if (stringOf(node, 'mode', 'constant') !== 'constant') return { kind: 'shared' };
  const valueName = node.input[2] ?? '';
  if (valueName === '') return { kind: 'shared' };
  const value = index.initializers.get(valueName);
  if (value === undefined || !isFloatTensor(value))
    return staysFloat('the value it pads with is computed in the graph');
  return readFloats(value)[0] === 0
    ? { kind: 'shared' }
    : staysFloat('it pads with a value other than 0');
}

/** A Clip with no layer before it, on uint8 codes: its bounds must be constants. */
export function markClip(node: OnnxNode, index: GraphIndex): Verdict {
  const computed = node.input
    .slice(1)
    .some((name) => name !== '' && index.initializers.get(name) === undefined);
  return computed ? staysFloat('its bounds are computed in the graph') : { kind: 'shared' };
}
