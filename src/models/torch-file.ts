import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { openPromise, type Entry, type ZipFile } from 'yauzl';
import { DataError, DrqError } from '../diagnostics/errors.ts';
import { BYTES_OF_FLOAT, decodeFloats } from './float-formats.ts';
import { elementCount } from './network.ts';
import type { StoredTensor, StoredTensors } from './safetensors.ts';
import { readStateDict, type Faults, type TensorView } from './torch-state-dict.ts';

const PICKLE_NAME = 'data.pkl';
/** Of a network's state_dict it has some 100 kB. */
const LARGEST_PICKLE_BYTES = 100_000_000;

/**
 * Reads the state_dict of a zip file that `torch.save` wrote (PyTorch 1.6 or later): floats of all widths
 * as float32, of integers the shapes. No code of the file is run: its pickle may name tensors, storages and
 * dicts only. A checkpoint that holds the state_dict as `state_dict`, `model_state_dict` or `model`, or an
 * average as `model_ema` or `state_dict_ema`, or as the only one under any other key, will do; `module.` or
 * `_orig_mod.` before every name is dropped.
 * @throws DataError `models/unsafe-pickle` naming what else is in it; `models/malformed-weights`, with the
 * tensor where one is at fault.
 */
export async function readTorchFile(path: string): Promise<StoredTensors> {
  const faults = faultsOf(path);
  let zip: ZipFile | null = null;
  try {
    zip = await openPromise(path, { lazyEntries: true, autoClose: false });
    return await readTensors(await openTorchZip(zip, faults), faults);
  } catch (error) {
    throw isOfZip(error) ? faults.malformed(error.message, error) : error;
  } finally {
    zip?.close();
  }
}

/** yauzl throws bare errors; those of the file system have a code, ours are told apart by class. */
function isOfZip(error: unknown): error is Error {
  return error instanceof Error && !(error instanceof DrqError) && !('code' in error);
}

interface TorchZip {
  readonly zip: ZipFile;
  /** By name without the folder that all stand in. */
  readonly entries: ReadonlyMap<string, Entry>;
}

async function openTorchZip(zip: ZipFile, faults: Faults): Promise<TorchZip> {
  const all = new Map<string, Entry>();
  for await (const entry of zip.eachEntry()) all.set(entry.fileName, entry);
  const pickles = [...all.keys()].filter(
    (name) => name === PICKLE_NAME || name.endsWith(`/${PICKLE_NAME}`),
  );
  const [pickle, ...others] = pickles;
  if (pickle === undefined || others.length > 0) {
    throw faults.malformed(`it is a zip with ${pickles.length} files named ${PICKLE_NAME}`);
  }
  const folder = pickle.slice(0, -PICKLE_NAME.length);
  const entries = new Map<string, Entry>();
  for (const [name, entry] of all) {
    if (name.startsWith(folder)) entries.set(name.slice(folder.length), entry);
  }
  return { zip, entries };
}

async function readTensors(file: TorchZip, faults: TorchFaults): Promise<StoredTensors> {
  if (file.entries.has('byteorder')) {
    const order = (await readEntry(file, 'byteorder', 16, faults)).toString('latin1');
    if (order !== 'little') throw faults.malformed(`its byte order is "${order}", not little`);
  }
  const pickle = await readEntry(file, PICKLE_NAME, LARGEST_PICKLE_BYTES, faults);
  const views = readStateDict(pickle, faults);
  checkViews(views, file.zip.fileSize, faults);
  const tensors = new Map<string, StoredTensor>();
  const integers = new Map<string, Pick<StoredTensor, 'shape'>>();
  let last: { view: TensorView; data: Float32Array } | null = null;
  for (const [name, view] of views) {
    if (view.format === null) {
      integers.set(name, { shape: view.shape });
      continue;
    }
    // Views of one storage follow each other where there are several.
    if (last === null || !isSameStorage(last.view, view)) {
      last = { view, data: await readStorage(file, name, view, faults) };
    }
    const data = gather(last.data, view);
    const invalid = data.findIndex((value) => !Number.isFinite(value));
    if (invalid !== -1) {
      throw faults.malformed(`"${name}" holds ${String(data[invalid])} at element ${invalid}`);
    }
    tensors.set(name, { shape: view.shape, data });
  }
  return { tensors, integers };
}

function isSameStorage(a: TensorView, b: TensorView): boolean {
  return a.storage === b.storage && a.format === b.format && a.storageCount === b.storageCount;
}

/**
 * Most bytes of tensors for one of the file. Two names for one tensor, as of tied weights, take twice as
 * much; a file whose names take far more would fill the memory with copies of the same numbers.
 */
const MOST_BYTES_PER_STORED = 4;

function checkViews(
  views: ReadonlyMap<string, TensorView>,
  fileBytes: number,
  faults: TorchFaults,
): void {
  let bytes = 0;
  for (const [name, view] of views) {
    if (view.format === null) continue;
    checkView(name, view, faults);
    bytes += elementCount(view.shape) * BYTES_OF_FLOAT[view.format];
  }
  if (bytes <= MOST_BYTES_PER_STORED * fileBytes) return;
  throw faults.malformed(
    `its ${views.size} tensors take ${bytes} bytes and the file has ${fileBytes}, so most of them repeat the same numbers`,
  );
}

/** The view must lie in its storage and be no larger, as one that repeats elements would be. */
function checkView(name: string, view: TensorView, faults: TorchFaults): void {
  const { shape, strides, offset, storageCount } = view;
  const count = elementCount(shape);
  if (count === 0) return;
  const last = shape.reduce((sum, size, axis) => sum + (size - 1) * (strides[axis] ?? 0), offset);
  const described = `"${name}" of shape [${shape.join(', ')}] and strides [${strides.join(', ')}]`;
  if (last >= storageCount) {
    throw faults.malformed(`${described} does not fit into its ${storageCount} stored elements`);
  }
  if (count > storageCount) throw faults.repeated(described, storageCount);
}

async function readStorage(
  file: TorchZip,
  name: string,
  { storage, storageCount, format }: TensorView,
  faults: Faults,
): Promise<Float32Array> {
  if (format === null) throw faults.malformed(`"${name}" holds integers`);
  const expected = storageCount * BYTES_OF_FLOAT[format];
  const bytes = await readEntry(file, `data/${storage}`, expected, faults);
  if (bytes.length !== expected) {
    throw faults.malformed(`"${name}" should have ${expected} bytes, it has ${bytes.length}`);
  }
  // A copy begins at offset 0, where numbers of any width may be read.
  return decodeFloats(new Uint8Array(bytes).buffer, format);
}

/** The view's elements in row-major order. */
function gather(storage: Float32Array, { shape, strides, offset }: TensorView): Float32Array {
  const count = elementCount(shape);
  if (isRowMajor(shape, strides)) return storage.slice(offset, offset + count);
  const result = new Float32Array(count);
  const index = shape.map(() => 0);
  let from = offset;
  for (let to = 0; to < count; to += 1) {
    // checkView has made sure that all of the view is in the storage; axes are in range of all three.
    result[to] = storage[from]!;
    for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
      index[axis]! += 1;
      from += strides[axis]!;
      if (index[axis]! < shape[axis]!) break;
      from -= shape[axis]! * strides[axis]!;
      index[axis] = 0;
    }
  }
  return result;
}

function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
    const size = shape[axis]!; // axis is in range
    if (size !== 1 && strides[axis] !== expected) return false;
    expected *= size;
  }
  return true;
}

async function readEntry(
  { zip, entries }: TorchZip,
  name: string,
  largest: number,
  faults: Faults,
): Promise<Buffer> {
  const entry = entries.get(name);
  if (entry === undefined) throw faults.malformed(`it holds no ${name}`);
  if (entry.compressionMethod !== 0) {
    throw faults.malformed(`${name} in it is compressed, which torch.save never does`);
  }
  if (entry.uncompressedSize > largest) {
    throw faults.malformed(`${name} in it has ${entry.uncompressedSize} bytes, not ${largest}`);
  }
  const content: Readable = await zip.openReadStreamPromise(entry);
  return buffer(content);
}

interface TorchFaults extends Faults {
  malformed(reason: string, cause?: unknown): Error;
  /** The file is whole, and a tensor of it was expanded. */
  repeated(tensor: string, storageCount: number): Error;
}

function faultsOf(path: string): TorchFaults {
  return {
    malformed: (reason: string, cause?: unknown) =>
      new DataError({
        code: 'models/malformed-weights',
        message: `${path} is not a complete PyTorch file of finite weights: ${reason}`,
        hint: 'download or export the file again: torch.save(model.state_dict(), path)',
        cause,
      }),
    repeated: (tensor, storageCount) =>
      new DataError({
        code: 'models/malformed-weights',
        message: `${path}: ${tensor} repeats its ${storageCount} stored elements, as an expanded tensor does, which is not read`,
        hint: 'call .contiguous() on it before saving: torch.save({name: value.contiguous() for name, value in model.state_dict().items()}, path)',
      }),
    noStateDict: (what, hint = 'save the weights alone: torch.save(model.state_dict(), path)') =>
      new DataError({
        code: 'models/malformed-weights',
        message: `${path} is no state_dict: it holds ${what}`,
        hint,
      }),
    unsafe: (reason) =>
      new DataError({
        code: 'models/unsafe-pickle',
        message: `${path} holds more than tensors: ${reason}. No code of such a file is run, so it is not read`,
        hint: 'save the weights alone, torch.save(model.state_dict(), path), or as safetensors',
      }),
  };
}
