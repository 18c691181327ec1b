import { fromBinary } from '@bufbuild/protobuf';
import { readFile } from 'node:fs/promises';
import { OnnxError } from '../diagnostics/errors.ts';
import { readExternalData } from './external-data.ts';
import { ModelProtoSchema } from './generated/onnx_pb.ts';
import type { OnnxModel } from './model.ts';

/** @throws OnnxError `onnx/malformed` when the bytes are no ONNX model. */
export function decodeOnnx(bytes: Uint8Array, shownName: string): OnnxModel {
  let model: OnnxModel;
  try {
    model = fromBinary(ModelProtoSchema, bytes);
  } catch (cause) {
    throw malformed(shownName, cause instanceof Error ? cause.message : String(cause), cause);
  }
  if (model.graph === undefined) throw malformed(shownName, 'it holds no graph');
  return model;
}

/**
 * The model in the file, with the data that it keeps in files beside it.
 * @throws OnnxError `onnx/malformed`, `onnx/external-data`
 */
export async function readOnnx(path: string): Promise<OnnxModel> {
  return (await readOnnxFiles(path)).model;
}

/** The same, and the names of the other files that data came from, none in most cases. */
export async function readOnnxFiles(
  path: string,
): Promise<{ readonly model: OnnxModel; readonly dataFiles: readonly string[] }> {
  const model = decodeOnnx(await readFile(path), path);
  return { model, dataFiles: await readExternalData(model, path) };
}

function malformed(shownName: string, reason: string, cause?: unknown): OnnxError {
  return new OnnxError({
    code: 'onnx/malformed',
    message: `${shownName} is not a complete ONNX model: ${reason}`,
    hint: 'export or download the file again; it may have been cut off',
    cause,
  });
}
