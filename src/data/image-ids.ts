import { extname } from 'node:path';
import type { SourceImage } from './source-image.ts';

/**
 * The same images with the extension left out of their ids wherever that leaves them unique. Ids
 * come in as paths below the source.
 */
export function shortenIds(images: readonly SourceImage[]): SourceImage[] {
  const uses = new Map<string, number>();
  for (const { id } of images) {
    const short = withoutExtension(id);
    uses.set(short, (uses.get(short) ?? 0) + 1);
  }
  return images.map((image) => {
    const short = withoutExtension(image.id);
    return uses.get(short) === 1 ? { ...image, id: short } : image;
  });
}

function withoutExtension(path: string): string {
  return path.slice(0, path.length - extname(path).length);
}
