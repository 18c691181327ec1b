import type { ClassifierSignature } from '../onnx/model-signature.ts';
import { openOnnxSession } from '../runtime/onnx-session.ts';

/**
 * Verifies that onnxruntime runs the float model on an image of zeros: what it cannot run is told of the
 * user's own model, and before thousands of photographs are decoded.
 * @throws OnnxError `onnx/cannot-load`, `onnx/cannot-run`, `onnx/unsupported-operator`
 */
export async function requireRunnable(
  modelPath: string,
  { inputName, inputType, inputLayout }: ClassifierSignature,
  {
    width,
    height,
    shownName,
  }: { readonly width: number; readonly height: number; readonly shownName: string },
): Promise<void> {
  const session = await openOnnxSession(modelPath, { threadCount: 1, shownName });
  try {
    const dims = inputLayout === 'nhwc' ? [1, height, width, 3] : [1, 3, height, width];
    const length = 3 * height * width;
    const data = inputType === 'uint8' ? new Uint8Array(length) : new Float32Array(length);
    await session.run({ [inputName]: { data, dims } });
  } finally {
    await session.release();
  }
}
