import { shortenList } from '../diagnostics/shorten-list.ts';

/** Images shown by name; the rest are counted. */
const SHOWN = 3;

/** Whether an orientation of EXIF asks viewers to turn or mirror the pixels (EXIF 2.32, tag 274). */
export function isTurned(orientation: number): boolean {
  return orientation >= 2 && orientation <= 8;
}

/**
 * What to say of images that viewers show turned, while networks get the pixels as they are stored; null
 * when there are none.
 */
export function describeOrientations(turned: readonly string[]): string | null {
  if (turned.length === 0) return null;
  const [carry, their] = turned.length === 1 ? ['image carries', 'its'] : ['images carry', 'their'];
  return `${turned.length} ${carry} an EXIF orientation by which viewers turn or mirror ${their} pixels, which are read as they are stored, as torchvision and Pillow read JPEG: ${shortenList(turned, SHOWN)}; where the network is to see them upright, turn the files themselves (mogrify -auto-orient)`;
}
