import { basename, dirname, extname } from 'node:path/posix';
import type { Split } from '../../src/data/dataset-index.ts';
import { parseSplitName } from '../../src/data/source-image.ts';

/** Where the images of a label file lie. */
export interface Placement {
  /** The split that its name, or that of the nearest folder above it, tells. */
  readonly split?: Split;
  /**
   * Folders below which each name finds one image, the likeliest of them where several do; where none
   * finds all, the first that finds most.
   */
  readonly imageFolders: readonly string[];
  readonly foundCount: number;
  readonly namedCount: number;
}

/** Finds folders for the images that a label file names. */
export type LabelFilePlacer = (file: string, named: readonly string[]) => Placement | null;

/**
 * A function that tells in which folders the images of a label file lie, given the paths of all images
 * of the source; it returns null where the file names none of them.
 *
 * Images are named as in `readLabelCsv`, by bare name or path, extension optional. Of folders that hold
 * all of them the topmost count, of these the ones of the file's split, of these those nearest to it.
 */
export function createLabelFilePlacer(images: readonly string[]): LabelFilePlacer {
  const byName = new Map<string, string[]>();
  for (const path of images.map(normalise)) {
    for (const name of new Set([basename(path), stem(basename(path))])) {
      const known = byName.get(name);
      if (known === undefined) byName.set(name, [path]);
      else known.push(path);
    }
  }
  return (file, named) => {
    const found = countByFolder(named, byName);
    const most = Math.max(0, ...found.values());
    if (most === 0) return null;
    // Bare numbers are ids of classes as often as names of images: few of many images are no evidence.
    if (named.every((name) => /^\d+$/.test(name)) && most <= images.length / 2) return null;
    const split = splitOfPath(file);
    const fitting = [...found.keys()].filter((folder) => found.get(folder) === most);
    const topmost = fitting.filter((folder) => !fitting.some((other) => isAbove(other, folder)));
    const imageFolders =
      most < named.length ? topmost.slice(0, 1) : nearest(file, ofSplit(topmost, split));
    return {
      ...(split === undefined ? {} : { split }),
      imageFolders,
      foundCount: most,
      namedCount: named.length,
    };
  };
}

/** How many names find exactly one image below each folder, '' being the source. */
function countByFolder(
  named: readonly string[],
  byName: ReadonlyMap<string, readonly string[]>,
): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const name of named.map(normalise)) {
    const inFolder = new Map<string, number>();
    for (const path of byName.get(basename(name)) ?? []) {
      for (const folder of foldersOf(path, name)) {
        inFolder.set(folder, (inFolder.get(folder) ?? 0) + 1);
      }
    }
    for (const [folder, count] of inFolder) {
      if (count === 1) found.set(folder, (found.get(folder) ?? 0) + 1);
    }
  }
  return found;
}

/** A bare name finds an image from every folder above it, a path from the one it starts in. */
function foldersOf(path: string, name: string): readonly string[] {
  if (!name.includes('/')) return ancestors(path);
  const below = [path, stem(path)].find((whole) => whole === name || whole.endsWith(`/${name}`));
  return below === undefined ? [] : [below.slice(0, -name.length - 1)];
}

/** `a/b/c.jpg` → `a/b`, `a`, ''. */
function ancestors(path: string): string[] {
  const parts = dirname(path) === '.' ? [] : dirname(path).split('/');
  return [...parts.map((_, i) => parts.slice(0, parts.length - i).join('/')), ''];
}

function ofSplit(folders: readonly string[], split: Split | undefined): readonly string[] {
  if (split === undefined) return folders;
  const own = folders.filter((folder) => splitOfPath(folder) === split);
  if (own.length > 0) return own;
  return folders.filter((folder) => splitOfPath(folder) === undefined);
}

/** Those that share most of their path with the file. */
function nearest(file: string, folders: readonly string[]): readonly string[] {
  const shared = folders.map((folder) => sharedDepth(file, folder));
  const most = Math.max(...shared);
  return folders.filter((_, i) => shared[i] === most);
}

function sharedDepth(a: string, b: string): number {
  const parts = b.split('/');
  const at = a.split('/').findIndex((part, i) => part !== parts[i]);
  return at === -1 ? parts.length : at;
}

function isAbove(folder: string, other: string): boolean {
  return folder !== other && (folder === '' || other.startsWith(`${folder}/`));
}

/** By its last part that names one: `train/metadata.csv` → train. */
function splitOfPath(path: string): Split | undefined {
  for (const part of path.split('/').reverse()) {
    const split = guessSplit(part);
    if (split !== undefined) return split;
  }
  return undefined;
}

/** `Training_Labels.csv` → train. */
export function guessSplit(name: string): Split | undefined {
  for (const word of name.split(/[^A-Za-z]+/)) {
    const split = parseSplitName(word);
    if (split !== undefined) return split;
  }
  return undefined;
}

/** In the form in which names compare, but for the extension. */
function normalise(path: string): string {
  return path
    .replaceAll('\\', '/')
    .replace(/^(\.\/)+/, '')
    .normalize('NFC');
}

function stem(path: string): string {
  return path.slice(0, path.length - extname(path).length);
}
