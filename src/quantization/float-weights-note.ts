import { graphsOf } from '../onnx/attributes.ts';
import type { OnnxModel } from '../onnx/model.ts';
import { elementCount, typeName } from '../onnx/tensor-data.ts';

/** Of all weights; what is left of scales and biases in small networks is well below. */
const NOTED_FRACTION = 0.25;

/** Tells, as a list of one, when much of a quantized model stays float, so that it is hardly smaller. */
export function floatWeightsNote(model: OnnxModel): string[] {
  const tensors = graphsOf(model).flatMap(({ initializer }) => initializer);
  const countOf = (type: string): number =>
    tensors
      .filter((tensor) => typeName(tensor) === type)
      .reduce((sum, tensor) => sum + elementCount(tensor), 0);
  const inFloat = countOf('FLOAT');
  const fraction = inFloat / Math.max(1, inFloat + countOf('INT8'));
  if (fraction < NOTED_FRACTION) return [];
  return [
    `${Math.round(100 * fraction)} % of the weights stay in float, so the file is that much larger: the report tells of each operator why`,
  ];
}
