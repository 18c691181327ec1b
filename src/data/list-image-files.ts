import type { Stats } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { extname, join, sep } from 'node:path';
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
 * @throws DataError `data/no-folder`, `data/broken-link`
 */
export async function listFolder(folder: string): Promise<FolderContent> {
  const entries = await readEntries(folder);
  const namesOf = (kind: Entry['kind']): string[] =>
    entries.filter((entry) => entry.kind === kind).map(({ name }) => name);
  return { files: namesOf('file'), folders: namesOf('folder') };
}

/**
 * Paths of all images below a folder, relative to it, with `/`. Links are followed, but never to a
 * folder above themselves, which has no end. `each-file-once`: what several paths lead to is listed
 * under the first; `every-path`: under each, for whoever looks for given paths.
 * @throws DataError `data/no-folder`, `data/broken-link`
 */
export async function listImageFiles(
  folder: string,
  repeats: FileRepeats = 'each-file-once',
): Promise<string[]> {
  return listFiles(folder, hasImageExtension, repeats);
}

type FileRepeats = 'each-file-once' | 'every-path';

/** As `listImageFiles`, the files whose names are wanted. */
export async function listFiles(
  folder: string,
  isWanted: (name: string) => boolean,
  repeats: FileRepeats,
): Promise<string[]> {
  const found: string[] = [];
  const seen = new Set<string>();
  const isNew = (real: string): boolean =>
    repeats === 'every-path' || seen.size < seen.add(real).size;
  // `real` is where the folder lies once all links are followed.
  const visit = async (below: string, real: string): Promise<void> => {
    const entries = await readEntries(join(folder, below));
    const realOf = ({ name, isLink }: Entry): string | Promise<string> =>
      isLink ? realpath(join(real, name)) : join(real, name);
    for (const entry of entries) {
      if (entry.kind !== 'file' || !isWanted(entry.name)) continue;
      if (isNew(await realOf(entry))) found.push(joinPosix(below, entry.name));
    }
    for (const entry of entries) {
      if (entry.kind !== 'folder') continue;
      const inner = await realOf(entry);
      const isAbove = inner === real || real.startsWith(inner.endsWith(sep) ? inner : inner + sep);
      if (!isAbove && isNew(inner)) await visit(joinPosix(below, entry.name), inner);
    }
  };
  // A folder that is not there has its message from `readEntries`.
  await visit('', await realpath(folder).catch(() => folder));
  return found;
}

interface Entry {
  readonly name: string;
  readonly kind: 'file' | 'folder';
  readonly isLink: boolean;
}

/** In natural order of their names; what is neither file nor folder is left out. */
async function readEntries(folder: string): Promise<Entry[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw new DataError({
      code: 'data/no-folder',
      message: `${folder} cannot be read as a folder`,
      hint: 'check that it is there, is a folder and may be read',
      cause,
    });
  });
  const found: Entry[] = [];
  for (const entry of entries) {
    const { name } = entry;
    if (name.startsWith('.') || name === '__MACOSX') continue;
    const isLink = entry.isSymbolicLink();
    const target = isLink ? await followLink(join(folder, name)) : entry;
    if (target.isDirectory()) found.push({ name, kind: 'folder', isLink });
    else if (target.isFile()) found.push({ name, kind: 'file', isLink });
  }
  return found.sort((a, b) => compareNatural(a.name, b.name));
}

async function followLink(path: string): Promise<Stats> {
  return stat(path).catch((cause: unknown) => {
    throw new DataError({
      code: 'data/broken-link',
      message: `the link ${path} leads nowhere`,
      hint: 'remove the link, or put back what it leads to',
      cause,
    });
  });
}

function joinPosix(below: string, name: string): string {
  return below === '' ? name : `${below}/${name}`;
}
