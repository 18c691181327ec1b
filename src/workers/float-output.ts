import { OnnxError } from '../diagnostics/errors.ts';
import type { OnnxTensor } from '../runtime/onnx-session.ts';

/**
 * The values of an output; `shown` is the tensor of the user's model that it tells of.
 * @throws OnnxError `quantization/not-float`
 */
export function floatsOf(
  outputs: Readonly<Record<string, OnnxTensor>>,
  name: string,
  shown = name,
): Float32Array {
  const data = outputs[name]?.data;
  if (data instanceof Float32Array) return data;
  throw new OnnxError({
    code: 'quantization/not-float',
    message: `tensor "${shown}" of the model is not float32`,
    hint: 'export the model in float32, its outputs too',
  });
}
