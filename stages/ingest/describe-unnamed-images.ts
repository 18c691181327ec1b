import { realpath } from 'node:fs/promises';
import { shortenList } from '../../src/diagnostics/shorten-list.ts';
import { join, posix } from 'node:path';
import { listImageFiles } from '../../src/data/list-image-files.ts';
import type { SourceImage } from '../../src/data/source-image.ts';
import type { LabelFile } from './find-label-files.ts';

/** Label files shown by name; the rest are counted. */
const SHOWN_FILES = 5;

/**
 * What to say on images that no row of the label files names, since they are left out; null when there
 * are none. Looked for in the folders that the label files give for their images, else in all of the
 * source. An image whose file a row names by another path, over a link, is named.
 */
export async function describeUnnamedImages(
  root: string,
  labelFiles: readonly LabelFile[],
  images: readonly SourceImage[],
): Promise<string | null> {
  const paths = await pathsBelow(
    root,
    new Set(labelFiles.map(({ imageFolder = '' }) => imageFolder)),
  );
  const named = new Set(images.map(({ path }) => path));
  const others = paths.filter((path) => !named.has(join(root, path)));
  if (others.length === 0) return null;
  const namedFiles = new Set(await realPaths([...named]));
  const realOthers = await realPaths(others.map((path) => join(root, path)));
  const unnamed = others.filter((_, i) => !namedFiles.has(realOthers[i]!)); // one a path
  const [first] = unnamed;
  if (first === undefined) return null;
  const files = shortenList(
    labelFiles.map(({ file }) => file),
    SHOWN_FILES,
  );
  const verb = unnamed.length === 1 ? 'is' : 'are';
  return `${unnamed.length} of ${paths.length} images ${verb} named by no row of ${files}, such as ${first}, and left out`;
}

/** Paths below the root of the images in the folders, each once. */
async function pathsBelow(root: string, folders: ReadonlySet<string>): Promise<string[]> {
  const paths = new Set<string>();
  for (const folder of folders.has('') ? [''] : folders) {
    for (const file of await listImageFiles(join(root, folder), 'every-path')) {
      paths.add(posix.join(folder.replaceAll('\\', '/'), file));
    }
  }
  return [...paths];
}

async function realPaths(paths: readonly string[]): Promise<string[]> {
  const real: string[] = [];
  for (const path of paths) real.push(await realpath(path));
  return real;
}
