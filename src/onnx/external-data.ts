import { clearField } from '@bufbuild/protobuf';
import { constants } from 'node:fs';
import { open, realpath, type FileHandle } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, sep } from 'node:path';
import { OnnxError } from '../diagnostics/errors.ts';
import { graphsOf } from './attributes.ts';
import { TensorProto_DataLocation, TensorProtoSchema } from './generated/onnx_pb.ts';
import type { Initializer, OnnxModel } from './model.ts';
import { typeName } from './tensor-data.ts';

/** protobuf holds no message of 2 GB or more, and a model is written as one message. */
const MAX_BYTES = 2 ** 31 - 1;

/**
 * Reads the data that `model` keeps in other files into it, in place. The files lie in the folder of
 * the model or below it (onnx/docs/ExternalData.md); nothing outside is opened, but where the model itself
 * is a link, what links lead to in its file's own folder. Returns their names.
 * @throws OnnxError `onnx/external-data` naming tensor and file
 */
export async function readExternalData(
  model: OnnxModel,
  modelPath: string,
  shownName = modelPath,
): Promise<readonly string[]> {
  const tensors = externalTensors(model);
  if (tensors.length === 0) return [];
  const folder = await realpath(dirname(modelPath));
  // A cache of models may keep all files in one place and link them, the model's own, too.
  const linked = dirname(await realpath(modelPath));
  const files = new Map<string, FileHandle>();
  let total = 0;
  try {
    for (const tensor of tensors) {
      const place = placeOf(tensor, shownName);
      let file = files.get(place.location);
      if (file === undefined) {
        file = await openInside([folder, linked], place.location, tensor, shownName);
        files.set(place.location, file);
      }
      const { size } = await file.stat();
      const length = place.length ?? size - place.offset;
      if (length < 0 || place.offset + length > size) {
        const end = place.offset + Math.max(length, 0);
        throw refused(
          tensor,
          shownName,
          `ends at byte ${end} of "${place.location}", which has ${size} bytes`,
        );
      }
      total += length;
      if (total > MAX_BYTES) {
        throw refused(
          tensor,
          shownName,
          'brings the weights to more than 2 GB, the most there can be',
        );
      }
      const bytes = new Uint8Array(length);
      await readFully(file, bytes, place.offset);
      tensor.rawData = bytes;
      clearField(tensor, TensorProtoSchema.field.dataLocation);
      tensor.externalData = [];
    }
    return [...files.keys()];
  } finally {
    for (const file of files.values()) await file.close();
  }
}

/** Names of the other files that `model`, as decoded, keeps data in. */
export function dataFilesOf(model: OnnxModel, modelPath: string): string[] {
  return [...new Set(externalTensors(model).map((tensor) => placeOf(tensor, modelPath).location))];
}

/** Initializers and constants of the graph and its sub-graphs whose data lies in another file. */
/**
 * Verifies that `model` keeps its data itself: bytes alone do not tell where other files lie.
 * @throws OnnxError `onnx/external-data`
 */
export function requireNoExternalData(model: OnnxModel, shownName: string): void {
  const [tensor] = externalTensors(model);
  if (tensor === undefined) return;
  const { location } = placeOf(tensor, shownName);
  throw new OnnxError({
    code: 'onnx/external-data',
    message: `${shownName}: the data of tensor "${tensor.name}" lies in another file, "${location}", which the bytes of the model do not lead to`,
    hint: 'read the model by its path with readOnnx, or save it as one file, its data within',
  });
}

function externalTensors(model: OnnxModel): Initializer[] {
  return graphsOf(model)
    .flatMap((graph) => [
      ...graph.initializer,
      ...graph.node.flatMap(({ attribute }) =>
        attribute.flatMap(({ t, tensors }) => (t === undefined ? tensors : [t, ...tensors])),
      ),
    ])
    .filter(({ dataLocation }) => dataLocation === TensorProto_DataLocation.EXTERNAL);
}

interface Place {
  readonly location: string;
  readonly offset: number;
  /** Undefined: to the end of the file. */
  readonly length: number | undefined;
}

function placeOf(tensor: Initializer, shownName: string): Place {
  const entries = new Map(tensor.externalData.map(({ key, value }) => [key, value]));
  const location = entries.get('location') ?? '';
  if (location === '') throw refused(tensor, shownName, 'names no file');
  const count = (key: string): number | undefined => {
    const text = entries.get(key);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (/^\d+$/.test(text) && Number.isSafeInteger(value)) return value;
    throw refused(tensor, shownName, `has the ${key} "${text}", expected a number of bytes`);
  };
  return { location, offset: count('offset') ?? 0, length: count('length') };
}

async function openInside(
  [folder, linked]: readonly [string, string],
  location: string,
  tensor: Initializer,
  shownName: string,
): Promise<FileHandle> {
  const outside = (): OnnxError =>
    refused(tensor, shownName, `names the file "${location}", which is not in the model's folder`);
  if (isAbsolute(location) || location.includes('\0')) throw outside();
  const path = join(folder, location);
  if (!isBelow(folder, path)) throw outside();
  // A link may lead out of the folder where the name does not.
  const real = await realpath(path).catch((cause: unknown) => {
    throw refused(tensor, shownName, `names the file "${location}", which cannot be found`, cause);
  });
  if (!isBelow(folder, real) && !isBelow(linked, real)) throw outside();
  // Without blocking: a named pipe would else wait for a writer for ever.
  const file = await open(real, constants.O_RDONLY | constants.O_NONBLOCK).catch(
    (cause: unknown) => {
      throw refused(tensor, shownName, `names the file "${location}", which cannot be read`, cause);
    },
  );
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw refused(tensor, shownName, `names "${location}", which is no file`);
}

function isBelow(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

async function readFully(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesRead } = await file.read(bytes, done, bytes.length - done, offset + done);
    if (bytesRead === 0) return; // cut off since its size was read: the tensor check tells
    done += bytesRead;
  }
}

function refused(
  tensor: Initializer,
  shownName: string,
  problem: string,
  cause?: unknown,
): OnnxError {
  const dims = tensor.dims.join(', ');
  return new OnnxError({
    code: 'onnx/external-data',
    message: `${shownName}: the external data of tensor "${tensor.name}" (${typeName(tensor)} [${dims}]) ${problem}`,
    hint: 'keep the data files that came with the model beside it, under their names',
    cause,
  });
}
