import { isComputed } from './computed-weights.ts';
import { staysFloat, type Verdict } from './operator.ts';
import { floatOf, integerOf } from '../../onnx/attributes.ts';
import type { GraphIndex } from '../../onnx/graph-edit.ts';
import type { OnnxNode } from '../../onnx/model.ts';
import { dimsOf, isFloatTensor } from '../../onnx/tensor-data.ts';

/** Gemm → QGemm: weights [N, K] with transB, else [K, N]; bias [N]. */
export function markGemm(node: OnnxNode, index: GraphIndex): Verdict {
  const weight = index.initializers.get(node.input[1] ?? '');
  if (weight === undefined) return isComputed('weights', node.input[1] ?? '', index);
  if (!isFloatTensor(weight)) return staysFloat('its weights are not float32');
  if (integerOf(node, 'transA', 0) !== 0) return staysFloat('it transposes its input (transA)');
  if (floatOf(node, 'alpha', 1) !== 1 || floatOf(node, 'beta', 1) !== 1)
    return staysFloat('its alpha or beta is not 1');
  const axis = integerOf(node, 'transB', 0) === 0 ? 1 : 0;
  const biasName = node.input[2] ?? '';
  if (biasName !== '') {
    const bias = index.initializers.get(biasName);
    if (bias === undefined) return isComputed('bias', biasName, index);
    const channelCount = dimsOf(weight)[axis] ?? 0;
    const count = dimsOf(bias).reduce((product, dim) => product * dim, 1);
    if (count !== channelCount)
      return staysFloat(`its bias has ${count} values for ${channelCount} outputs`);
  }
  return {
    kind: 'weighted',
    weightName: weight.name,
    biasName: biasName === '' ? undefined : biasName,
    axis,
    floatOutput: true,
  };
}
