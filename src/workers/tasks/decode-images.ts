import { augmentImage, type AugmentationRanges } from '../../data/augment-image.ts';
import { sumChannels, type ChannelSums } from '../../data/channel-sums.ts';
import { decodeImage } from '../../data/decode-image.ts';
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
  /**
   * Takes the pixels of all images, one after another, uint8 [copies, H, W, 3] each. Shared, because
   * messages would copy them twice into memory fresh from the system.
   */
  readonly target: SharedArrayBuffer;
  readonly images: readonly {
    readonly path: string;
    /** Names the random streams of its copies. */
    readonly id: string;
    /** Random changes of copies 1 and up; copy 0 is the image as decoded. */
    readonly replicas: readonly AugmentationRanges[];
  }[];
}

/** The fault of the first image that cannot be decoded; errors lose their class between threads. */
export interface DecodeFailure {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

export type DecodeImagesResponse =
  /** Of copy 0 of each image. */
  { readonly sums: readonly ChannelSums[] } | { readonly failure: DecodeFailure };

/** Decodes each image once and makes its copies; what is random depends on seed, id and copy alone. */
export async function run(request: DecodeImagesRequest): Promise<DecodeImagesResponse> {
  try {
    const { settings, images } = request;
    const sums: ChannelSums[] = [];
    let offset = 0;
    for (const image of images) {
      const pixels = await decodeImage(image.path, {
        ...settings,
        shownName: `${image.id} (${image.path})`,
      });
      const byteCount = pixels.length * (1 + image.replicas.length);
      writeCopies(settings, image, pixels, new Uint8Array(request.target, offset, byteCount));
      sums.push(sumChannels(pixels));
      offset += byteCount;
    }
    return { sums };
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    return { failure: { code: error.code, message: error.message, hint: error.hint ?? '' } };
  }
}

function writeCopies(
  settings: DecodeSettings,
  { id, replicas }: DecodeImagesRequest['images'][number],
  original: Uint8Array,
  target: Uint8Array,
): void {
  target.set(original);
  for (const [i, ranges] of replicas.entries()) {
    const random = createRandom(settings.seed, `augment/${id}/${i + 1}`);
    target.set(augmentImage(original, settings, ranges, random), original.length * (i + 1));
  }
}
