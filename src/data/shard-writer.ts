import { writeFileSync } from 'node:fs';
import { open, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { InternalError } from '../diagnostics/errors.ts';
import { SPLITS, type Split } from './dataset-index.ts';
import {
  imageByteCount,
  imageShardsSchema,
  type ImageShards,
  type Normalization,
  type ShardEntry,
} from './image-shards.ts';

/** Size a shard is kept below: large enough to stream, small enough to map and to copy. */
const SHARD_BYTES = 64 * 1024 * 1024;

/** Writes an `image-shards` artifact image by image; keeps the entries, never the pixels. */
export interface ShardWriter {
  /** Appends one image, uint8 [H, W, 3]. Splits are written one after another. */
  append(split: Split, entry: ShardEntry, pixels: Uint8Array): Promise<void>;
  /** Closes the last shard and writes `images.json`. */
  finish(normalization: Normalization): Promise<ImageShards>;
  /** Closes what is open, without an index; for use after a failure. */
  abandon(): Promise<void>;
}

export function createShardWriter(
  folder: string,
  options: Pick<ImageShards, 'width' | 'height' | 'classes'>,
): ShardWriter {
  const byteCount = imageByteCount(options);
  const imagesPerShard = Math.max(1, Math.floor(SHARD_BYTES / byteCount));
  const splits: Record<Split, { entries: ShardEntry[]; files: string[] }> = {
    train: { entries: [], files: [] },
    validation: { entries: [], files: [] },
    test: { entries: [], files: [] },
  };
  let handle: FileHandle | undefined;
  let openSplit: Split | undefined;
  const close = async (): Promise<void> => {
    await handle?.close();
    handle = undefined;
  };
  const shardFor = async (split: Split): Promise<FileHandle> => {
    const { entries, files } = splits[split];
    if (handle !== undefined && openSplit === split && entries.length % imagesPerShard !== 0) {
      return handle;
    }
    if (openSplit !== split && entries.length > 0) {
      throw new InternalError(`split ${split} was left and taken up again`);
    }
    await close();
    const file = `${split}-${String(files.length).padStart(5, '0')}.bin`;
    handle = await open(join(folder, file), 'w');
    openSplit = split;
    files.push(file);
    return handle;
  };
  return {
    async append(split, entry, pixels) {
      if (pixels.length !== byteCount) {
        throw new InternalError(`image ${entry.id} has ${pixels.length} bytes, not ${byteCount}`);
      }
      const shard = await shardFor(split);
      // Not asynchronous: that would wait behind the images being decoded in the same few native
      // threads, several milliseconds for a write of a fraction of one.
      writeFileSync(shard.fd, pixels);
      splits[split].entries.push(entry);
    },
    async finish(normalization) {
      await close();
      const parsed = imageShardsSchema.parse({
        format: 1,
        width: options.width,
        height: options.height,
        channels: 3,
        imagesPerShard,
        classes: options.classes,
        normalization,
        splits: Object.fromEntries(SPLITS.map((split) => [split, splits[split]])),
      });
      await writeFile(join(folder, 'images.json'), `${JSON.stringify(parsed, null, 1)}\n`);
      return parsed;
    },
    abandon: close,
  };
}
