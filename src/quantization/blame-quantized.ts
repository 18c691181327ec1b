import { OnnxError } from '../diagnostics/errors.ts';

/**
 * What to throw in place of an error of onnxruntime: the model in `quantizedPath` was made here of one
 * that runs, so that nothing is wrong with what was given. Other errors stay what they are.
 */
export function blameQuantized(error: unknown, quantizedPath: string): unknown {
  if (!(error instanceof OnnxError) || !error.code.startsWith('onnx/')) return error;
  const [said, reason] = error.message.split(` ${quantizedPath}: `);
  if (reason === undefined) return error;
  return new OnnxError({
    code: 'quantize/unusable-model',
    message: `${said} the int8 model that drq made, though the float model runs: ${reason}`,
    hint: 'this is a fault of drq, not of the model; report it, and until it is mended leave the layers around the operator that is named in float (exclude)',
    cause: error,
  });
}
