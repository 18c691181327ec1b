import { augmentImage, type AugmentationRanges } from '../../data/augment-image.ts';
import { sumChannels, type ChannelSums } from '../../data/channel-sums.ts';
import { decodeImage, readImageFile } from '../../data/decode-image.ts';
import type { PixelSize } from '../../data/resize-geometry.ts';
import { DataError } from '../../diagnostics/errors.ts';
import { createRandom } from '../../numeric/random.ts';

export interface DecodeSettings extends PixelSize {
  readonly circleCrop: boolean;
  readonly limitPixels: number;
  readonly seed: number;
}

export interface DecodeImagesRequest {
  readonly settings: DecodeSettings;
  readonly images: readonly {
    readonly path: string;
    /** Names the random streams of its copies. */
    readonly id: string;
    /** Random changes of copies 1 and up; copy 0 is the image as decoded. */
    readonly replicas: readonly AugmentationRanges[];
  }[];
}

export interface DecodedImage {
  /** Uint8 [copies, H, W, 3]. */
  readonly pixels: Uint8Array;
  /** Of copy 0. */
  readonly sums: ChannelSums;
}

/** The fault of the first image that cannot be decoded; errors lose their class between threads. */
export interface DecodeFailure {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

export type DecodeImagesResponse =
  { readonly images: readonly DecodedImage[] } | { readonly failure: DecodeFailure };

/** Decodes each image once and makes its copies; what is random depends on seed, id and copy alone. */
export async function run(request: DecodeImagesRequest): Promise<DecodeImagesResponse> {
  try {
    // All files of the request are read ahead, so that the decoder never waits for the disk.
    const reading = request.images.map(({ path }) => readImageFile(path));
    for (const promise of reading) void promise.catch(() => undefined); // reported in its turn
    const images: DecodedImage[] = [];
    for (const [i, image] of request.images.entries()) {
      const bytes = await reading[i]!; // one an image
      images.push(await decodeCopies(request.settings, image, bytes));
    }
    return { images };
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    return { failure: { code: error.code, message: error.message, hint: error.hint ?? '' } };
  }
}

async function decodeCopies(
  settings: DecodeSettings,
  { path, id, replicas }: DecodeImagesRequest['images'][number],
  bytes: Uint8Array,
): Promise<DecodedImage> {
  const original = await decodeImage(bytes, { ...settings, shownName: `${id} (${path})` });
  const pixels = new Uint8Array(original.length * (1 + replicas.length));
  pixels.set(original, 0);
  for (const [i, ranges] of replicas.entries()) {
    const random = createRandom(settings.seed, `augment/${id}/${i + 1}`);
    pixels.set(augmentImage(original, settings, ranges, random), original.length * (i + 1));
  }
  return { pixels, sums: sumChannels(original) };
}
