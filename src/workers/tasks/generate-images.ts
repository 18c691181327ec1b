import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { drawFundus } from '../../data/generated-fundus/draw-fundus.ts';
import { datasetFile } from '../../data/write-dataset.ts';
import { createRandom } from '../../numeric/random.ts';

/** High enough that compression hides no lesion. */
const JPEG_QUALITY = 95;

export interface GenerateImageRequest {
  readonly grade: number;
  readonly sizePx: number;
  readonly seed: number;
  /** Name of the picture's random stream. */
  readonly stream: string;
  /** Folder of the dataset artifact. */
  readonly folder: string;
}

export interface GenerateImageResponse {
  readonly sha256: string;
  readonly file: string;
}

/** Draws one photograph and writes it under its digest. */
export async function run(request: GenerateImageRequest): Promise<GenerateImageResponse> {
  const { grade, sizePx, seed, stream, folder } = request;
  const pixels = drawFundus({ grade, sizePx, random: createRandom(seed, stream) });
  sharp.concurrency(1);
  const bytes = await sharp(pixels, { raw: { width: sizePx, height: sizePx, channels: 3 } })
    .jpeg({ quality: JPEG_QUALITY, chromaSubsampling: '4:4:4' })
    .toBuffer();
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const file = datasetFile(sha256, '.jpg');
  await writeFile(join(folder, file), bytes);
  return { sha256, file };
}
