import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { DataError, InternalError } from '../diagnostics/errors.ts';
import { SPLITS, type Split } from './dataset-index.ts';

/** One stored image; its position in `entries` is its position in the split's shards. */
const shardEntrySchema = z.strictObject({
  /** The dataset image it was made from. */
  id: z.string(),
  label: z.int().min(0),
  /** 0 for the first copy of the image, which is never randomly changed; 1 and up for replicas. */
  copy: z.int().min(0),
});
export type ShardEntry = z.infer<typeof shardEntrySchema>;

const shardSplitSchema = z.strictObject({
  entries: z.array(shardEntrySchema),
  /** In order; all but the last hold `imagesPerShard` images. */
  files: z.array(z.string()),
});

/** `images.json` of an `image-shards` artifact: packed uint8 RGB, [N, H, W, 3], no header or padding. */
export const imageShardsSchema = z.strictObject({
  format: z.literal(1),
  width: z.int().min(1),
  height: z.int().min(1),
  channels: z.literal(3),
  imagesPerShard: z.int().min(1),
  classes: z.array(z.string()).min(1),
  /** Of pixel values scaled to [0, 1]: x = (pixel / 255 - mean) / std, per channel in RGB order. */
  normalization: z.strictObject({
    mean: z.tuple([z.number(), z.number(), z.number()]),
    std: z.tuple([z.number(), z.number(), z.number()]),
  }),
  splits: z.strictObject({
    train: shardSplitSchema,
    validation: shardSplitSchema,
    test: shardSplitSchema,
  } satisfies Record<Split, unknown>),
});
export type ImageShards = z.infer<typeof imageShardsSchema>;
export type Normalization = ImageShards['normalization'];

export async function readImageShards(folder: string): Promise<ImageShards> {
  const text = await readFile(join(folder, 'images.json'), 'utf8');
  return imageShardsSchema.parse(JSON.parse(text));
}

export function imageByteCount(shards: Pick<ImageShards, 'width' | 'height'>): number {
  return shards.width * shards.height * 3;
}

export { SPLITS };

/** Reads single images of a shard set; keeps no pixels, holds one file handle per shard touched. */
export interface ShardReader {
  readonly shards: ImageShards;
  /** Copies image `index` of `split` into `target` at `targetOffset`: uint8 [H, W, 3]. */
  read(split: Split, index: number, target: Uint8Array, targetOffset?: number): Promise<void>;
  close(): Promise<void>;
}

export async function openShardReader(folder: string): Promise<ShardReader> {
  const shards = await readImageShards(folder);
  const byteCount = imageByteCount(shards);
  const handles = new Map<string, ReturnType<typeof open>>();
  const handleOf = (file: string): ReturnType<typeof open> => {
    const known = handles.get(file);
    if (known !== undefined) return known;
    const opened = open(join(folder, file), 'r');
    handles.set(file, opened);
    return opened;
  };
  return {
    shards,
    async read(split, index, target, targetOffset = 0) {
      const file = shards.splits[split].files[Math.floor(index / shards.imagesPerShard)];
      if (file === undefined) throw new InternalError(`no image ${index} in split ${split}`);
      const position = (index % shards.imagesPerShard) * byteCount;
      const handle = await handleOf(file);
      const { bytesRead } = await handle.read(target, targetOffset, byteCount, position);
      if (bytesRead !== byteCount) throw shortShard(join(folder, file), index);
    },
    async close() {
      for (const handle of handles.values()) await (await handle).close();
      handles.clear();
    },
  };
}

function shortShard(path: string, index: number): DataError {
  return new DataError({
    code: 'data/short-shard',
    message: `${path} ends inside image ${index}: it was cut off while it was read`,
    hint: 'run again: damaged outputs are noticed and made anew',
  });
}

/**
 * Normalizes packed pixels for a network: uint8 [N, H, W, 3] → float32 [N, 3, H, W], or [N, H, W, 3]
 * for `nhwc`; (pixel / 255 - mean) / std.
 */
export function normalizePixels(
  pixelsNhwc: Uint8Array,
  imageCount: number,
  pixelsPerImage: number,
  { mean, std }: Normalization,
  target: Float32Array,
  layout: 'nchw' | 'nhwc' = 'nchw',
): void {
  const step = layout === 'nchw' ? 1 : 3;
  for (let n = 0; n < imageCount; n += 1) {
    for (let c = 0; c < 3; c += 1) {
      const scale = 1 / (255 * std[c as 0 | 1 | 2]);
      const shift = mean[c as 0 | 1 | 2] / std[c as 0 | 1 | 2];
      let from = n * pixelsPerImage * 3 + c;
      let to = layout === 'nchw' ? (n * 3 + c) * pixelsPerImage : from;
      // Both indices stay inside their arrays: the caller sized them for imageCount images.
      for (let p = 0; p < pixelsPerImage; p += 1, from += 3, to += step) {
        target[to] = pixelsNhwc[from]! * scale - shift;
      }
    }
  }
}
