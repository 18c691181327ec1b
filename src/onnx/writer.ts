import { create, toBinary } from '@bufbuild/protobuf';
import { open, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import {
  ModelProtoSchema,
  TensorProto_DataLocation,
  TensorProtoSchema,
} from './generated/onnx_pb.ts';
import { OnnxError, UsageError } from '../diagnostics/errors.ts';
import { graphOf, isOnnxModel, type Initializer, type OnnxModel } from './model.ts';

/** The model as bytes; the same model always gives the same bytes. */
export function encodeOnnx(model: OnnxModel): Uint8Array {
  return toBinary(ModelProtoSchema, model);
}

/**
 * Writes the model to a file in a folder that is there.
 * @throws UsageError `onnx/write-arguments` for what is no path, or no model
 * @throws OnnxError `onnx/cannot-write`
 */
export async function writeOnnx(path: string, model: OnnxModel): Promise<void> {
  requireArguments(path, model);
  await writeFile(path, encodeOnnx(model)).catch(unwritable(path));
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'its folder does not exist',
  ENOTDIR: 'a file stands where its folder should be',
  EISDIR: 'it is a folder',
  EACCES: 'its permissions forbid it',
  EPERM: 'its permissions forbid it',
  EROFS: 'the file system is read-only',
};

/** Errors that the path has no part in, a full disk for instance, are left as they are. */
function unwritable(path: string): (cause: unknown) => never {
  return (cause) => {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
    const reason = REASONS[code];
    if (reason === undefined) throw cause;
    throw new OnnxError({
      code: 'onnx/cannot-write',
      message: `the ONNX model ${path} cannot be written: ${reason}`,
      hint: 'give the path of a file in a folder that is there and may be written to',
      cause,
    });
  };
}

/** Where a file holds the bytes of tensors: by the very array that was written, which this keeps from nobody. */
export type WeightPlaces = Pick<WeakMap<Uint8Array, WeightPlace>, 'get'>;

export interface WeightPlace {
  readonly offset: number;
  readonly length: number;
}

/** Smaller tensors stay in the model: shape arithmetic is read before anything else is. */
const LEAST_EXTERNAL_BYTES = 1024;
/** A cache line, which is more than any vector instruction asks for. */
const ALIGNMENT = 64;

/**
 * Writes the model with its larger initializers in a second file, `dataPath` in the same folder
 * (onnx/docs/ExternalData.md): no copy of the weights is made, and onnxruntime maps that file. Returns
 * what is where in it.
 */
export async function writeOnnxWithData(
  path: string,
  dataPath: string,
  model: OnnxModel,
): Promise<WeightPlaces> {
  const graph = graphOf(model);
  const places = new WeakMap<Uint8Array, WeightPlace>();
  const file = await open(dataPath, 'w');
  const initializer: Initializer[] = [];
  try {
    let [offset, end] = [0, 0];
    for (const tensor of graph.initializer) {
      const { rawData, name, dims, dataType } = tensor;
      if (rawData.length < LEAST_EXTERNAL_BYTES) {
        initializer.push(tensor);
        continue;
      }
      await file.writeFile(new Uint8Array(offset - end)); // up to the alignment
      await file.writeFile(rawData); // in full, where `write` may write a part
      end = offset + rawData.length;
      const place = { offset, length: rawData.length };
      places.set(rawData, place);
      initializer.push(
        create(TensorProtoSchema, {
          ...{ name, dims, dataType },
          dataLocation: TensorProto_DataLocation.EXTERNAL,
          externalData: Object.entries({ location: basename(dataPath), ...place }).map(
            ([key, value]) => ({
              key,
              value: String(value),
            }),
          ),
        }),
      );
      offset = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
    }
  } finally {
    await file.close();
  }
  await writeOnnx(path, { ...model, graph: { ...graph, initializer } });
  return places;
}

/** Plain JavaScript gives anything, and the two in the other order. */
function requireArguments(path: unknown, model: unknown): void {
  const isPath = typeof path === 'string' && path !== '';
  if (isPath && isOnnxModel(model)) return;
  const isSwapped = isOnnxModel(path) && typeof model === 'string';
  const problem = isPath
    ? 'its second argument must be a model'
    : 'its first argument must be the path to write to';
  throw new UsageError({
    code: 'onnx/write-arguments',
    message: `writeOnnx: ${isSwapped ? 'the path comes first, then the model; received them in the other order' : problem}`,
    hint: "for instance await writeOnnx('int8.onnx', model), with a model from quantizeModel or readOnnx",
  });
}
