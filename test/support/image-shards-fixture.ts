import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { imageByteCount, type ImageShards, type ShardEntry } from '../../src/data/image-shards.ts';
import type { Split } from '../../src/data/dataset-index.ts';

export interface ShardFixtureImage {
  readonly entry: ShardEntry;
  /** uint8 [H, W, 3]. */
  readonly pixels: Uint8Array;
}

/** Writes an `image-shards` artifact of a few images; pixels go through unchanged (mean 0, std 1). */
export async function writeShardFixture(
  folder: string,
  options: {
    readonly size: number;
    readonly classes: readonly string[];
    readonly imagesPerShard?: number;
    readonly splits: Partial<Record<Split, readonly ShardFixtureImage[]>>;
  },
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const imagesPerShard = options.imagesPerShard ?? 2;
  const shards: ImageShards = {
    format: 1,
    width: options.size,
    height: options.size,
    channels: 3,
    imagesPerShard,
    classes: [...options.classes],
    normalization: { mean: [0, 0, 0], std: [1, 1, 1] },
    splits: {
      train: { entries: [], files: [] },
      validation: { entries: [], files: [] },
      test: { entries: [], files: [] },
    },
  };
  for (const split of ['train', 'validation', 'test'] as const) {
    const images = options.splits[split] ?? [];
    shards.splits[split].entries = images.map(({ entry }) => entry);
    for (let start = 0; start < images.length; start += imagesPerShard) {
      const name = `${split}-${start / imagesPerShard}.bin`;
      shards.splits[split].files.push(name);
      const packed = images.slice(start, start + imagesPerShard).map(({ pixels }) => {
        if (pixels.length !== imageByteCount(shards)) throw new Error('pixels of another size');
        return pixels;
      });
      await writeFile(join(folder, name), Buffer.concat(packed));
    }
  }
  await writeFile(join(folder, 'images.json'), JSON.stringify(shards));
}
