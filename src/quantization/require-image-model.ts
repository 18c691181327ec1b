import { OnnxError } from '../diagnostics/errors.ts';
import type { ClassifierSignature } from '../onnx/model-signature.ts';

/**
 * Verifies that the model takes images of this size, in batches of any size or of one; returns the
 * largest batch that may be run.
 * @throws OnnxError `onnx/not-a-classifier`, `quantization/size-mismatch`, `quantization/fixed-batch`
 */
export function requireImageModel(
  { batchSize, height, width }: ClassifierSignature,
  shownName: string,
  size: { readonly width: number; readonly height: number },
): { readonly maxBatchSize: number } {
  const fits = (declared: number | null, given: number): boolean =>
    declared === null || declared === given;
  if (!fits(height, size.height) || !fits(width, size.width)) {
    throw new OnnxError({
      code: 'quantization/size-mismatch',
      message: `${shownName} takes images of ${width ?? 'any'} x ${height ?? 'any'} pixels, the images are ${size.width} x ${size.height}`,
      hint: 'prepare the images at the size of the model; `drq quantize` without --size and the library without the option "size" do so',
    });
  }
  if (batchSize !== null && batchSize !== 1) {
    throw new OnnxError({
      code: 'quantization/fixed-batch',
      message: `${shownName} takes batches of exactly ${batchSize} images`,
      hint: 'export the model with a dynamic batch dimension, or with batch size 1',
    });
  }
  return { maxBatchSize: batchSize ?? Infinity };
}
