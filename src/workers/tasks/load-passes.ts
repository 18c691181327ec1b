import '../run-image-batches.ts';

/** Loads onnxruntime and what else passes over images need, so that the first of them need not wait. */
export function run(): null {
  return null;
}
