import type { SourceImage } from '../../src/data/source-image.ts';
import { DataError } from '../../src/diagnostics/errors.ts';
import type { IngestParameters } from './parameters.ts';

/**
 * What to say on images that the parameters put in no group, since splits may divide what belongs
 * together in them; null when there is nothing to say.
 * @throws DataError `data/no-groups` when no image is in one
 */
export function describeUngrouped(
  images: readonly SourceImage[],
  { groupPattern, groupColumn = '' }: Pick<IngestParameters, 'groupPattern' | 'groupColumn'>,
): string | null {
  if (groupPattern === undefined && groupColumn === '') return null;
  const ungrouped = images.filter(({ group }) => group === undefined);
  const [first] = ungrouped;
  if (first === undefined) return null;
  const asked =
    groupPattern === undefined ? `groupColumn ${groupColumn}` : `groupPattern ${groupPattern}`;
  if (ungrouped.length < images.length) {
    return `${asked} gives no group for ${ungrouped.length} of ${images.length} images, such as ${first.id}; each of them is a group of its own`;
  }
  throw new DataError({
    code: 'data/no-groups',
    message: `${asked} gives no group for any of ${images.length} images, such as ${first.id}`,
    hint:
      groupPattern === undefined
        ? 'fill in the column, or leave groupColumn out'
        : 'the pattern is matched anywhere in the path below the source; its one capture is the group',
  });
}
