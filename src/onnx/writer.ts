import { toBinary } from '@bufbuild/protobuf';
import { writeFile } from 'node:fs/promises';
import { ModelProtoSchema } from './generated/onnx_pb.ts';
import type { OnnxModel } from './model.ts';

/** The model as bytes; the same model always gives the same bytes. */
export function encodeOnnx(model: OnnxModel): Uint8Array {
  return toBinary(ModelProtoSchema, model);
}

export async function writeOnnx(path: string, model: OnnxModel): Promise<void> {
  await writeFile(path, encodeOnnx(model));
}
