import type { SourceContent } from '../../src/data/source-image.ts';
import { shortenList } from '../../src/diagnostics/shorten-list.ts';

/** Folders shown by name; the rest are counted. */
const SHOWN_FOLDERS = 10;

/** What to say on images that lie beside the split folders, or beside the class folders. */
export function describeLeftOutImages({
  unreadFolders,
  looseImages,
}: Pick<SourceContent, 'unreadFolders' | 'looseImages'>): string[] {
  const loose = looseImages.map(({ folder, count }) =>
    folder === '' ? `${count} beside the folders` : `${count} directly in ${folder}/`,
  );
  return [
    ...(unreadFolders.length === 0
      ? []
      : [
          `images in ${shortenList(
            unreadFolders.map((name) => `${name}/`),
            SHOWN_FOLDERS,
          )} are left out: beside train, validation or test folders only those are read; move what belongs to a split into its folder, as SPLIT/CLASS/IMAGE`,
        ]),
    ...(loose.length === 0
      ? []
      : [
          `images that lie in no class folder are left out: ${shortenList(loose, SHOWN_FOLDERS)}; move each into the folder of its class, or give a CSV of image and label`,
        ]),
  ];
}
