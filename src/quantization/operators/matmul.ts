import type { GraphIndex } from '../../onnx/graph-edit.ts';
import type { OnnxNode } from '../../onnx/model.ts';
import { staysFloat, type Verdict } from './operator.ts';

/** One with constant weights behind its input has become a Gemm before (see `matmulToGemm`). */
export function markMatMul(node: OnnxNode, { initializers }: GraphIndex): Verdict {
  const [left = '', right = ''] = node.input;
  if (initializers.has(right))
    return staysFloat('its weights are no float32 matrix, or the shape of its input is not known');
  return staysFloat(
    initializers.has(left)
      ? 'its weights stand before its input, not behind'
      : 'both of its operands are computed in the graph',
  );
}
