import { fromBinary } from '@bufbuild/protobuf';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { OnnxError, UsageError } from '../diagnostics/errors.ts';
import { unreadableReason } from '../diagnostics/unreadable.ts';
import { graphsOf } from './attributes.ts';
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
 * @throws UsageError `onnx/read-arguments` for what is no path
 * @throws OnnxError `onnx/cannot-read`, `onnx/malformed`, `onnx/external-data`
 */
export async function readOnnx(path: string): Promise<OnnxModel> {
  requirePath(path);
  return (await readOnnxFiles(path)).model;
}

/** The same, and the names of the other files that data came from, none in most cases. */
export async function readOnnxFiles(
  path: string,
  shownName = path,
): Promise<{ readonly model: OnnxModel; readonly dataFiles: readonly string[] }> {
  const file = resolve(path); // the working folder may be another one once it has been read
  const model = decodeOnnx(await readFile(file).catch(unreadable(shownName)), shownName);
  alignWeights(model);
  return { model, dataFiles: await readExternalData(model, file, shownName) };
}

/** Gives a model as it was read. */
export type ReadModel = () => Promise<OnnxModel>;

/** Plain JavaScript gives anything. */
function requirePath(path: unknown): void {
  if (typeof path === 'string' && path !== '') return;
  throw new UsageError({
    code: 'onnx/read-arguments',
    message: 'readOnnx: its argument must be the path to read from',
    hint: "for instance await readOnnx('model.onnx')",
  });
}

/**
 * Moves the bytes of large weights inside the file's buffer, by up to three places, to where they can
 * be viewed as float32, so that nobody has to copy them. What they overwrite is their own field's tag
 * and length, which has been read.
 */
function alignWeights(model: OnnxModel): void {
  for (const { initializer } of graphsOf(model)) {
    for (const tensor of initializer) {
      const { rawData: raw } = tensor;
      const excess = raw.byteOffset % Float32Array.BYTES_PER_ELEMENT;
      if (excess === 0 || raw.length < LEAST_MOVED_BYTES) continue;
      const place = new Uint8Array(raw.buffer, raw.byteOffset - excess, raw.length);
      place.set(raw);
      tensor.rawData = place;
    }
  }
}

/** From 128 bytes on the length takes two bytes, and the tag one. */
const LEAST_MOVED_BYTES = 128;

function unreadable(shownName: string): (cause: unknown) => never {
  return (cause) => {
    const reason = unreadableReason(cause);
    if (reason === null) throw cause;
    throw new OnnxError({
      code: 'onnx/cannot-read',
      message: `the ONNX model ${shownName} cannot be read: ${reason}`,
      hint: 'give the path of an ONNX file',
      cause,
    });
  };
}

function malformed(shownName: string, reason: string, cause?: unknown): OnnxError {
  return new OnnxError({
    code: 'onnx/malformed',
    message: `${shownName} is not a complete ONNX model: ${reason}`,
    hint: 'export or download the file again; it may have been cut off',
    cause,
  });
}

/**
 * Gives `model` at the first call and lets go of it, then what `readAgain` gives. Weights of hundreds
 * of megabytes then live only as long as somebody works on them.
 */
export function handOver(model: OnnxModel, readAgain: ReadModel): ReadModel {
  let held: OnnxModel | null = model;
  return async () => {
    const given = held ?? (await readAgain());
    held = null;
    return given;
  };
}
