import type { CheckedImage, Finding } from '../../src/data/dataset-findings.ts';
import {
  areNearlyIdentical,
  MAXIMUM_COMPARED_IMAGES,
  type ImageSignature,
} from '../../src/data/image-signature.ts';
import type { SourceImage } from '../../src/data/source-image.ts';
import type { StageContext } from '../../src/stage/definition.ts';
import { createWorkerPool } from '../../src/workers/pool.ts';
import { runInOrder } from '../../src/workers/run-in-order.ts';
import type {
  CheckImageRequest,
  CheckImageResponse,
} from '../../src/workers/tasks/check-images.ts';
import type { IngestParameters } from './parameters.ts';

export type OpenedImage = SourceImage &
  CheckedImage & { readonly signature?: ImageSignature; readonly orientation?: number };

/** Opens every image in worker threads: digest, whether it is whole, and a signature to compare. */
export async function checkImages(
  context: StageContext<IngestParameters>,
  images: readonly SourceImage[],
): Promise<OpenedImage[]> {
  const threadCount = Math.max(1, Math.min(context.resources.cpuCount, images.length));
  const pool = createWorkerPool<CheckImageRequest, CheckImageResponse>('check-images', threadCount);
  const limitPixels = Math.round(context.parameters.limitMegapixels * 1e6);
  const opened: OpenedImage[] = [];
  try {
    await runInOrder({
      items: images,
      inFlight: threadCount * 4,
      signal: context.signal,
      process: ({ path, id }) => pool.run({ path, shownName: `${id} (${path})`, limitPixels }),
      consume(response, index) {
        opened.push({ ...images[index]!, ...response }); // one response an image
        context.progress({
          done: index + 1,
          total: images.length,
          unit: 'images',
          label: 'checking',
        });
      },
    });
  } finally {
    await pool.close();
  }
  return opened;
}

/** Pairs that show one photograph but differ in their bytes: a warning, because it takes a person to judge. */
export function findNearDuplicates(images: readonly OpenedImage[]): Finding[] {
  if (images.length > MAXIMUM_COMPARED_IMAGES) return [];
  const findings: Finding[] = [];
  // Indices stay below the length; each pair is seen once.
  for (let a = 0; a < images.length; a += 1) {
    const first = images[a]!;
    if (first.signature === undefined) continue;
    for (let b = a + 1; b < images.length; b += 1) {
      const second = images[b]!;
      if (second.signature === undefined || first.sha256 === second.sha256) continue;
      if (!areNearlyIdentical(first.signature, second.signature)) continue;
      const named = (image: OpenedImage): string => `${image.id} (${image.className})`;
      findings.push({
        kind: 'near-duplicate',
        message: `look the same but differ in their bytes: ${named(first)}, ${named(second)}`,
        action: 'warn',
      });
    }
  }
  return findings;
}
