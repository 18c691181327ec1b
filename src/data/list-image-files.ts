import { readdir, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { DataError } from '../diagnostics/errors.ts';
import { compareNatural } from './natural-order.ts';

const IMAGE_EXTENSIONS = new Set([
  '.jpg',
  '.jpeg',
  '.jpe',
  '.jfif',
  '.png',
  '.tif',
  '.tiff',
  '.webp',
  '.gif',
  '.avif',
  '.bmp',
]);

/** Deeper folders are a cycle of links rather than a dataset. */
const MAXIMUM_DEPTH = 16;

/** Whether the name is that of an image; says nothing of the content. */
export function hasImageExtension(name: string): boolean {
  return IMAGE_EXTENSIONS.has(extname(name).toLowerCase());
}

export interface FolderContent {
  readonly files: readonly string[];
  readonly folders: readonly string[];
}

/**
 * Names in a folder in natural order, hidden ones and macOS's resource forks left out; links are
 * followed.
 * @throws DataError `data/no-folder`
 */
export async function listFolder(folder: string): Promise<FolderContent> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw new DataError({
      code: 'data/no-folder',
      message: `${folder} cannot be read as a folder`,
      hint: 'check the path; it is taken relative to the project',
      cause,
    });
  });
  const files: string[] = [];
  const folders: string[] = [];
  for (const entry of entries) {
    if (entry.name.startsWith('.') || entry.name === '__MACOSX') continue;
    const target = entry.isSymbolicLink() ? await stat(join(folder, entry.name)) : entry;
    if (target.isDirectory()) folders.push(entry.name);
    else if (target.isFile()) files.push(entry.name);
  }
  return { files: files.sort(compareNatural), folders: folders.sort(compareNatural) };
}

/** Paths of all images below a folder, relative to it, with `/`. */
export async function listImageFiles(folder: string): Promise<string[]> {
  const found: string[] = [];
  const visit = async (below: string, depth: number): Promise<void> => {
    const { files, folders } = await listFolder(join(folder, below));
    for (const file of files) if (hasImageExtension(file)) found.push(joinPosix(below, file));
    if (depth === MAXIMUM_DEPTH) return;
    for (const name of folders) await visit(joinPosix(below, name), depth + 1);
  };
  await visit('', 0);
  return found;
}

function joinPosix(below: string, name: string): string {
  return below === '' ? name : `${below}/${name}`;
}
