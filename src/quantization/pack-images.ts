import { open, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeImage } from '../data/decode-image.ts';
import { isTurned } from '../data/describe-orientations.ts';
import type { ImageShards, Normalization } from '../data/image-shards.ts';
import { DataError, InterruptedError } from '../diagnostics/errors.ts';

export interface PackOptions {
  /** Photographs, in the order they shall have. */
  readonly files: readonly string[];
  readonly folder: string;
  readonly width: number;
  readonly height: number;
  readonly normalization: Normalization;
  /** How messages call a photograph; by its path by default. */
  readonly shownName?: (file: string) => string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface PackedImages {
  /** Those that carry an EXIF orientation, which is not applied, in their order. */
  readonly turned: readonly string[];
}

/**
 * Decodes photographs into an image-shards folder with one shard, split `train`, image i being file i.
 * Pixels go to the disk as they come, so memory does not grow with the number of images.
 *
 * @throws DataError `data/unreadable-image`, `data/image-too-large`, of all images (up to ten) at once
 */
export async function packImages(options: PackOptions): Promise<PackedImages> {
  const { files, folder, width, height, normalization } = options;
  const byteCount = width * height * 3;
  const turned = new Set<number>();
  const shard = await open(join(folder, 'images.bin'), 'w');
  try {
    let next = 0;
    let done = 0;
    const faults = new Map<number, DataError>();
    const worker = async (): Promise<void> => {
      while (next < files.length && faults.size < SHOWN_FAULTS) {
        if (options.signal?.aborted === true) throw new InterruptedError();
        const position = next;
        next += 1;
        const onOrientation = (orientation: number): void => {
          if (isTurned(orientation)) turned.add(position);
        };
        const decoding = { width, height, onOrientation };
        try {
          const file = files[position]!; // position < length
          const shownName = options.shownName?.(file) ?? file;
          const pixels = await decodeImage(file, { ...decoding, shownName });
          await writeWhole(shard, pixels, position * byteCount);
        } catch (error) {
          if (!(error instanceof DataError)) throw error;
          faults.set(position, error);
        }
        done += 1;
        options.onProgress?.(done, files.length);
      }
    };
    await Promise.all(Array.from({ length: DECODES_IN_FLIGHT }, worker));
    refuse(faults, next < files.length);
  } finally {
    await shard.close();
  }
  const empty = { entries: [], files: [] };
  const shards: ImageShards = {
    format: 1,
    width,
    height,
    channels: 3,
    imagesPerShard: Math.max(files.length, 1),
    classes: ['unlabelled'],
    normalization,
    splits: {
      train: {
        entries: files.map((file) => ({ id: file, label: 0, copy: 0 })),
        files: files.length === 0 ? [] : ['images.bin'],
      },
      validation: empty,
      test: empty,
    },
  };
  await writeFile(join(folder, 'images.json'), JSON.stringify(shards));
  return { turned: files.filter((_, position) => turned.has(position)) };
}

/** So many broken images are named before the rest is left unread. */
const SHOWN_FAULTS = 10;

/** @throws DataError naming every image, in their order */
function refuse(faults: ReadonlyMap<number, DataError>, isCutShort: boolean): void {
  const inOrder = [...faults].sort(([a], [b]) => a - b).map(([, fault]) => fault);
  const [first] = inOrder;
  if (first === undefined) return;
  if (inOrder.length === 1) throw first;
  const hints = new Set(inOrder.flatMap(({ hint }) => (hint === undefined ? [] : [hint])));
  const lines = inOrder.map(({ message }) => `  ${message}`);
  throw new DataError({
    code: first.code,
    message: `${inOrder.length}${isCutShort ? ' and maybe more' : ''} photographs cannot be used:\n${lines.join('\n')}`,
    hint: [...hints].join('; '),
    cause: first,
  });
}

/** libvips decodes in libuv's threads; two keep two cores busy and memory small. */
const DECODES_IN_FLIGHT = 2;

/** In full: a `write` may write a part, as where the disk is full. */
async function writeWhole(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    const left = bytes.length - written;
    written += (await file.write(bytes, written, left, position + written)).bytesWritten;
  }
}
