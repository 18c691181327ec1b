import { types } from 'node:util';
import { UsageError } from '../diagnostics/errors.ts';
import { requireNoExternalData } from './external-data.ts';
import { isOnnxModel, type OnnxModel } from './model.ts';
import { decodeOnnx } from './reader.ts';
import { encodeOnnx } from './writer.ts';

/**
 * The model that the bytes of an ONNX file hold, wherever they come from. Its weights are views of `bytes`,
 * which must not be changed as long as the model is used. Messages call it `shownName`. The data that a
 * model keeps in other files is found by `readOnnx` alone.
 * @throws UsageError `onnx/decode-arguments` for what are no bytes
 * @throws OnnxError `onnx/malformed`, `onnx/external-data` where data lies in other files
 */
export function modelFromBytes(bytes: Uint8Array, shownName = 'the ONNX model'): OnnxModel {
  requireBytes(bytes);
  const model = decodeOnnx(bytes, shownName);
  requireNoExternalData(model, shownName);
  return model;
}

/**
 * The model as the bytes of an ONNX file, those that `writeOnnx` writes; the same model always gives the
 * same bytes.
 * @throws UsageError `onnx/encode-arguments` for what is no model
 */
export function bytesOfModel(model: OnnxModel): Uint8Array {
  if (isOnnxModel(model)) return encodeOnnx(model);
  throw new UsageError({
    code: 'onnx/encode-arguments',
    message: 'encodeOnnx: its argument must be a model',
    hint: 'give a model from quantizeModel, readOnnx or decodeOnnx',
  });
}

/** Plain JavaScript gives anything. */
function requireBytes(bytes: unknown): void {
  if (types.isUint8Array(bytes)) return;
  throw new UsageError({
    code: 'onnx/decode-arguments',
    message:
      'decodeOnnx: its first argument must be the bytes of a model, a Uint8Array or a Buffer',
    hint:
      typeof bytes === 'string'
        ? 'readOnnx takes the path of a file'
        : 'for instance decodeOnnx(new Uint8Array(await response.arrayBuffer()))',
  });
}
