import { join } from 'node:path';
import type { Split } from './dataset-index.ts';
import { hasImageExtension, listFolder, listImageFiles } from './list-image-files.ts';
import {
  parseSplitName,
  readClassName,
  type SourceContent,
  type SourceImage,
} from './source-image.ts';

/**
 * The images of class folders, with or without train, validation and test folders above them; null
 * when the folder is not laid out so. Images beside the class folders are not read but told, and so are
 * folders with images beside those of the splits.
 */
export async function scanClassFolders(root: string): Promise<SourceContent | null> {
  const { folders } = await listFolder(root);
  const splitFolders = folders.flatMap((name) => {
    const split = parseSplitName(name);
    return split === undefined ? [] : [{ name, split }];
  });
  if (splitFolders.length === 0) {
    const content = await scanSplit(root, '', undefined);
    return content.images.length === 0 ? null : content;
  }
  const parts: SourceContent[] = [];
  for (const { name, split } of splitFolders) parts.push(await scanSplit(root, name, split));
  if (parts.every(({ images }) => images.length === 0)) return null;
  const unreadFolders: string[] = [];
  for (const name of folders) {
    if (parseSplitName(name) === undefined && (await mayHoldImages(join(root, name)))) {
      unreadFolders.push(name);
    }
  }
  return {
    unreadFolders,
    images: parts.flatMap((part) => part.images),
    emptyClasses: parts.flatMap((part) => (part.images.length === 0 ? [] : part.emptyClasses)),
    looseImages: parts.flatMap((part) => part.looseImages),
  };
}

/** What cannot be listed may; that is no reason to stop, for nothing of it is read. */
async function mayHoldImages(folder: string): Promise<boolean> {
  return listImageFiles(folder).then(
    (files) => files.length > 0,
    () => true,
  );
}

/** The folders in `parent`, which is below the root, as classes. */
async function scanSplit(
  root: string,
  parent: string,
  split: Split | undefined,
): Promise<SourceContent> {
  const { files: beside, folders } = await listFolder(join(root, parent));
  const looseCount = beside.filter(hasImageExtension).length;
  const images: SourceImage[] = [];
  const emptyClasses: string[] = [];
  for (const name of folders) {
    const folder = parent === '' ? name : `${parent}/${name}`;
    const className = readClassName(name);
    const files = await listImageFiles(join(root, folder));
    if (files.length === 0) emptyClasses.push(folder);
    for (const file of files) {
      images.push({
        id: `${folder}/${file}`,
        path: join(root, folder, file),
        className,
        ...(split === undefined ? {} : { split }),
      });
    }
  }
  return {
    images,
    emptyClasses,
    unreadFolders: [],
    looseImages: looseCount === 0 ? [] : [{ folder: parent, count: looseCount }],
  };
}

/**
 * The folder the dataset really starts in: archives often hold one folder with everything in it, in
 * which case that one is taken, and so on.
 */
export async function skipSingleFolders(root: string): Promise<string> {
  let folder = root;
  for (;;) {
    const { files, folders } = await listFolder(folder);
    const only = folders[0];
    const hasData = files.some((name) => hasImageExtension(name) || /\.csv$/i.test(name));
    if (only === undefined || folders.length > 1 || hasData || parseSplitName(only) !== undefined) {
      return folder;
    }
    // A folder that holds images itself is a class, not a wrapper.
    const inner = await listFolder(join(folder, only));
    if (inner.files.some(hasImageExtension)) return folder;
    folder = join(folder, only);
  }
}
