import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { decodeStretched } from '../../data/decode-image.ts';
import {
  createSignature,
  SIGNATURE_SIZE,
  type ImageSignature,
} from '../../data/image-signature.ts';
import { DataError } from '../../diagnostics/errors.ts';

export interface CheckImageRequest {
  readonly path: string;
  readonly shownName: string;
  readonly limitPixels: number;
}

export type CheckImageResponse =
  | {
      readonly sha256: string;
      readonly signature: ImageSignature;
      /** Of EXIF; 1: upright. */
      readonly orientation: number;
    }
  | { readonly sha256: string; readonly problem: string };

/** Digest of a file, and whether the image in it can be decoded to its end. */
export async function run(request: CheckImageRequest): Promise<CheckImageResponse> {
  const bytes = await readFile(request.path);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  let orientation = 1;
  try {
    const pixels = await decodeStretched(bytes, {
      ...SIGNATURE_SIZE,
      ...request,
      onOrientation: (found) => (orientation = found),
    });
    return { sha256, signature: createSignature(pixels), orientation };
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    const hint = error.code === 'data/image-too-large' ? ` (${error.hint ?? ''})` : '';
    return { sha256, problem: `${error.message}${hint}` };
  }
}
