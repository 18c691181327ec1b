import { isComputed } from './computed-weights.ts';
import { staysFloat, type Verdict } from './operator.ts';
import type { GraphIndex } from '../../onnx/graph-edit.ts';
import type { OnnxNode } from '../../onnx/model.ts';
import { isFloatTensor } from '../../onnx/tensor-data.ts';

/** Conv → QLinearConv: weights [M, C/group, kH, kW], channels on axis 0. */
export function markConv(node: OnnxNode, index: GraphIndex): Verdict {
  const weight = index.initializers.get(node.input[1] ?? '');
  if (weight === undefined) return isComputed('weights', node.input[1] ?? '', index);
  if (!isFloatTensor(weight)) return staysFloat('its weights are not float32');
  if (weight.dims.length !== 4)
    return staysFloat(`it is a convolution over ${weight.dims.length - 2} dimensions, not 2`);
  const biasName = node.input[2] ?? '';
  if (biasName !== '' && !index.initializers.has(biasName))
    return isComputed('bias', biasName, index);
  return {
    kind: 'weighted',
    weightName: weight.name,
    biasName: biasName === '' ? undefined : biasName,
    axis: 0,
    floatOutput: false,
  };
}
