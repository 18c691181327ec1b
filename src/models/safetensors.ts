import { open, type FileHandle } from 'node:fs/promises';
import { z } from 'zod';
import { DataError } from '../diagnostics/errors.ts';
import { BYTES_OF_FLOAT, decodeFloats, type FloatFormat } from './float-formats.ts';
import { elementCount } from './network.ts';

/** A tensor of a weights file; floats of all widths come out as float32. */
export interface StoredTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** What a weights file holds by name. */
export interface StoredTensors {
  /** Those of floats. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Those of integers, whose numbers are not read: counters, or quantized weights. */
  readonly integers: ReadonlyMap<string, Pick<StoredTensor, 'shape'>>;
}

export interface SafetensorsFile extends StoredTensors {
  readonly metadata: Readonly<Record<string, string>>;
}

const entrySchema = z.strictObject({
  dtype: z.string(),
  shape: z.array(z.int().min(0)),
  data_offsets: z.tuple([z.int().min(0), z.int().min(0)]),
});
/** The format allows 100 MB; a header of weights this project knows is far below one. */
const LARGEST_HEADER_BYTES = 100_000_000;
const READ_FORMATS: readonly FloatFormat[] = ['F32', 'F16', 'BF16', 'F64'];
/** Types of integers, whose tensors count something or are quantized, and are no weights as they stand. */
const INTEGER_TYPE = /^(U|I)\d+$|^BOOL$/;

/**
 * Reads a safetensors file (huggingface/safetensors, "Format": length, JSON header, data) whole.
 * Of integer tensors, such as PyTorch's `num_batches_tracked`, only the shapes.
 * @throws DataError `models/malformed-weights`, with the tensor where one is at fault.
 */
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const { text, dataStart } = await readHeader(file, size, path);
    return await readTensors(file, { path, size, dataStart, header: parseHeader(text, path) });
  } finally {
    await file.close();
  }
}

async function readHeader(
  file: FileHandle,
  size: number,
  path: string,
): Promise<{ text: string; dataStart: number }> {
  const lengthBytes = Buffer.alloc(8);
  const { bytesRead } = await file.read(lengthBytes, 0, 8, 0);
  if (bytesRead < 8) throw malformed(path, `it ends after ${bytesRead} of 8 bytes of length`);
  const headerLength = Number(lengthBytes.readBigUInt64LE());
  if (headerLength > LARGEST_HEADER_BYTES) {
    throw malformed(path, 'it does not begin with the length of a JSON header');
  }
  if (8 + headerLength > size) {
    throw malformed(path, `it ends inside its header (${size} of ${8 + headerLength} bytes)`);
  }
  const header = Buffer.alloc(headerLength);
  await file.read(header, 0, headerLength, 8);
  return { text: header.toString('utf8'), dataStart: 8 + headerLength };
}

type Header = ReadonlyMap<string, z.infer<typeof entrySchema>> & {
  readonly metadata?: Record<string, string>;
};

function parseHeader(text: string, path: string): Header {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw malformed(path, 'its header is not JSON', cause);
  }
  const parsed = z.record(z.string(), z.unknown()).safeParse(json);
  if (!parsed.success) throw malformed(path, 'its header is not a JSON object', parsed.error);
  const header = new Map<string, z.infer<typeof entrySchema>>();
  for (const [name, value] of Object.entries(parsed.data)) {
    if (name === '__metadata__') continue;
    const entry = entrySchema.safeParse(value);
    if (!entry.success) {
      throw malformed(path, `its header describes "${name}" wrongly`, entry.error);
    }
    header.set(name, entry.data);
  }
  const metadata = z.record(z.string(), z.string()).safeParse(parsed.data['__metadata__']);
  return Object.assign(header, metadata.success ? { metadata: metadata.data } : {});
}

async function readTensors(
  file: FileHandle,
  {
    path,
    size,
    dataStart,
    header,
  }: { path: string; size: number; dataStart: number; header: Header },
): Promise<SafetensorsFile> {
  const problem = layoutProblem(header, size, dataStart);
  if (problem !== null) throw malformed(path, problem);
  const tensors = new Map<string, StoredTensor>();
  const integers = new Map<string, Pick<StoredTensor, 'shape'>>();
  for (const [name, { dtype, shape, data_offsets: offsets }] of header) {
    const format = READ_FORMATS.find((candidate) => candidate === dtype);
    if (format === undefined && INTEGER_TYPE.test(dtype)) {
      integers.set(name, { shape });
      continue;
    }
    if (format === undefined)
      throw malformed(path, `"${name}" has type ${dtype}, which is not read`);
    const [start, end] = offsets;
    const byteCount = elementCount(shape) * BYTES_OF_FLOAT[format];
    if (end - start !== byteCount) {
      throw malformed(
        path,
        `"${name}" should hold ${byteCount} bytes for shape [${shape.join(', ')}], it holds ${end - start}`,
      );
    }
    const bytes = new Uint8Array(byteCount);
    await file.read(bytes, 0, byteCount, dataStart + start);
    const data = decodeFloats(bytes.buffer, format);
    const invalid = data.findIndex((value) => !Number.isFinite(value));
    if (invalid !== -1) {
      throw malformed(path, `"${name}" holds ${String(data[invalid])} at element ${invalid}`);
    }
    tensors.set(name, { shape, data });
  }
  return { metadata: header.metadata ?? {}, tensors, integers };
}

/**
 * The tensors must lie one after the other and cover the data, as the format demands: else a small file
 * could give the same bytes to so many tensors that no memory holds them.
 */
function layoutProblem(header: Header, size: number, dataStart: number): string | null {
  const places = [...header].map(
    ([
      name,
      {
        data_offsets: [start, end],
      },
    ]) => ({ name, start, end }),
  );
  places.sort((a, b) => a.start - b.start || a.end - b.end);
  let covered = 0;
  for (const { name, start, end } of places) {
    if (start > covered) return `no tensor has bytes ${covered} to ${start} of its data`;
    if (start < covered || end < start) {
      return `"${name}" has bytes ${start} to ${end} of its data, and those before it end at ${covered}`;
    }
    if (dataStart + end > size) {
      return `it ends inside "${name}" (${size} of ${dataStart + end} bytes)`;
    }
    covered = end;
  }
  const left = size - dataStart - covered;
  return left === 0 ? null : `${left} bytes follow its last tensor`;
}

function malformed(path: string, reason: string, cause?: unknown): DataError {
  return new DataError({
    code: 'models/malformed-weights',
    message: `${path} is not a complete safetensors file of finite weights: ${reason}`,
    hint: 'download or export the file again; safetensors with F64, F32, F16 or BF16 tensors are read',
    cause,
  });
}
