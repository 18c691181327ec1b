import type { Split } from './dataset-index.ts';
import { openShardReader, type ShardReader } from './image-shards.ts';
import { toNetworkInput, type InputForm, type NetworkInput } from './network-input.ts';
import { openTensorReader, readTensorShards, type TensorReader } from './tensor-shards.ts';

/** Images of a folder, ready for a network: packed pixels, or inputs somebody else prepared. */
export interface ImageSource {
  /** One batch in the form the network takes. */
  read(split: Split, indices: readonly number[], form: InputForm): Promise<NetworkInput>;
  /** For messages: its id, which is a file's path where it came from one, or its place. */
  nameOf(split: Split, index: number): string;
  close(): Promise<void>;
}

/** Opens an image-shards artifact, or a folder written by `writeTensorShards`. */
export async function openImageSource(folder: string): Promise<ImageSource> {
  const tensors = await readTensorShards(folder);
  return tensors === null
    ? pixelSource(await openShardReader(folder))
    : tensorSource(await openTensorReader(folder, tensors));
}

function pixelSource(reader: ShardReader): ImageSource {
  const { width, height, normalization } = reader.shards;
  return {
    async read(split, indices, form) {
      const byteCount = width * height * 3;
      const pixelsNhwc = new Uint8Array(indices.length * byteCount);
      for (const [n, index] of indices.entries()) {
        await reader.read(split, index, pixelsNhwc, n * byteCount);
      }
      const imageCount = indices.length;
      return toNetworkInput({ pixelsNhwc, imageCount, width, height, normalization }, form);
    },
    nameOf: (split, index) =>
      reader.shards.splits[split].entries[index]?.id ?? `image ${index} of split ${split}`,
    close: () => reader.close(),
  };
}

function tensorSource(reader: TensorReader): ImageSource {
  const { dims } = reader.shards;
  const length = dims.reduce((product, dim) => product * dim, 1);
  return {
    async read(_split, indices) {
      const data = new Float32Array(indices.length * length);
      for (const [n, index] of indices.entries()) await reader.read(index, data, n * length);
      return { data, dims: [indices.length, ...dims] };
    },
    nameOf: (_split, index) => `input ${index}`,
    close: () => reader.close(),
  };
}
