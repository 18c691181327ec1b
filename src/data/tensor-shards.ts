import { createHash } from 'node:crypto';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { types } from 'node:util';
import { z } from 'zod';
import { DataError, InternalError } from '../diagnostics/errors.ts';

const FILE = 'tensors.json';
const DATA_FILE = 'tensors.bin';

/** `tensors.json` of a scratch folder with network inputs as they are: float32 [count, ...dims]. */
const tensorShardsSchema = z.strictObject({
  format: z.literal(1),
  dims: z.array(z.int().min(1)),
  count: z.int().min(0),
});
export type TensorShards = z.infer<typeof tensorShardsSchema>;

export interface WriteTensorsOptions {
  readonly folder: string;
  /** Shape of each. */
  readonly dims: readonly number[];
  readonly tensors: Iterable<Float32Array> | AsyncIterable<Float32Array>;
  /** Digests, as of an earlier result, of tensors that are not to be written; none by default. */
  readonly leftOut?: ReadonlySet<string>;
}

export interface WrittenTensors {
  readonly writtenCount: number;
  /** SHA-256 of the bytes of each that was written, in base64. */
  readonly digests: ReadonlySet<string>;
  /** The largest magnitude of each that was given, left out or not. */
  readonly largest: readonly number[];
}

/**
 * Writes inputs to `folder` as they come, so that memory grows by no more than a digest for each.
 * @throws DataError `data/tensor-length` when one has another length than `dims` says, or a value
 * that is not finite
 */
export async function writeTensorShards({
  folder,
  dims,
  tensors,
  leftOut = new Set(),
}: WriteTensorsOptions): Promise<WrittenTensors> {
  const length = dims.reduce((product, dim) => product * dim, 1);
  const file = await open(join(folder, DATA_FILE), 'w');
  const digests = new Set<string>();
  const largest: number[] = [];
  let writtenCount = 0;
  try {
    for await (const tensor of tensors) {
      requireTensor(tensor, length, { position: largest.length, dims });
      largest.push(largestMagnitude(tensor));
      const bytes = new Uint8Array(tensor.buffer, tensor.byteOffset, tensor.byteLength);
      const digest = createHash('sha256').update(bytes).digest('base64');
      if (leftOut.has(digest)) continue;
      digests.add(digest);
      await file.write(bytes);
      writtenCount += 1;
    }
  } finally {
    await file.close();
  }
  const shards: TensorShards = { format: 1, dims: [...dims], count: writtenCount };
  await writeFile(join(folder, FILE), JSON.stringify(shards));
  return { writtenCount, digests, largest };
}

function largestMagnitude(values: Float32Array): number {
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  return largest;
}

/** Null when the folder holds no tensors. */
export async function readTensorShards(folder: string): Promise<TensorShards | null> {
  let text: string;
  try {
    text = await readFile(join(folder, FILE), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
  return tensorShardsSchema.parse(JSON.parse(text));
}

/** Reads single tensors; holds one file handle. */
export interface TensorReader {
  readonly shards: TensorShards;
  /** Copies tensor `index` into `target` from `targetOffset` on. */
  read(index: number, target: Float32Array, targetOffset: number): Promise<void>;
  close(): Promise<void>;
}

export async function openTensorReader(
  folder: string,
  shards: TensorShards,
): Promise<TensorReader> {
  const file = await open(join(folder, DATA_FILE), 'r');
  const length = shards.dims.reduce((product, dim) => product * dim, 1);
  return {
    shards,
    async read(index, target, targetOffset) {
      const view = new Uint8Array(
        target.buffer,
        target.byteOffset + targetOffset * Float32Array.BYTES_PER_ELEMENT,
        length * Float32Array.BYTES_PER_ELEMENT,
      );
      const { bytesRead } = await file.read(view, 0, view.length, index * view.length);
      if (bytesRead !== view.length) throw new InternalError(`${DATA_FILE} ends inside ${index}`);
    },
    close: () => file.close(),
  };
}

function requireTensor(
  tensor: Float32Array,
  length: number,
  { position, dims }: { readonly position: number; readonly dims: readonly number[] },
): void {
  const received = problemOf(tensor, length);
  if (received === null) return;
  const layout = dims.at(-1) === 3 && dims[0] !== 3 ? 'last' : 'first';
  throw new DataError({
    code: 'data/tensor-length',
    message: `input ${position} has ${received}; expected ${length} finite float32 values, [${dims.join(', ')}]`,
    hint: `give each image as one normalized Float32Array, channels ${layout}`,
  });
}

/** Plain JavaScript gives anything; other arrays of numbers would be read byte by byte as float32. */
function problemOf(tensor: unknown, length: number): string | null {
  // Not by `instanceof`: one of another realm (a vm, a test runner) is as good.
  if (!types.isFloat32Array(tensor)) {
    return ArrayBuffer.isView(tensor) ? `a ${tensor.constructor.name}` : 'no Float32Array';
  }
  if (tensor.length !== length) return `${tensor.length} values`;
  return tensor.every((value) => Number.isFinite(value)) ? null : 'values that are not finite';
}
