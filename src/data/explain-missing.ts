import { extname, posix } from 'node:path';
import { DataError } from '../diagnostics/errors.ts';
import { hasImageExtension, listFiles } from './list-image-files.ts';
import { isUnreadImage } from './unread-files.ts';

/** Why no image was found for the name of a row. */
type MissingKind = 'hidden' | 'backslash' | 'format' | 'extension' | 'case' | 'path';

const REMEDIES: Readonly<Record<MissingKind, string>> = {
  hidden: 'rename the files whose names begin with a dot, in the CSV too',
  backslash:
    'rename the files with a backslash in their names, in the CSV too: there it is read as /',
  format:
    'convert photographs of formats that are not read to PNG or JPEG, and name those in the CSV',
  extension: 'give the extensions in the CSV as the files have them, or none',
  case: 'write the names in the CSV as those of the files, capitals alike',
  path: 'give the paths in the CSV from the source folder, or from imageFolder of this CSV where that is set',
};

/** A name of a row that no image was found for. */
export interface MissingName {
  readonly named: string;
  /** Such as `there is i/0.jpg`; null where nothing is known of it. */
  readonly reason: string | null;
  /** What to do about it; null where nothing is known of it. */
  readonly remedy: string | null;
}

/**
 * Why there is no image for each of a few names, as far as the files below the source tell. Only said,
 * never matched: a file of the same name may be one of another split.
 */
export async function explainMissing(
  root: string,
  imageFolder: string,
  names: readonly string[],
): Promise<MissingName[]> {
  const files = await listFiles(root, () => true, 'every-path').catch((error: unknown) => {
    if (error instanceof DataError) return []; // what cannot be listed explains nothing
    throw error;
  });
  return explainMissingNames(files, imageFolder, names);
}

/** The same by the paths of all files below the source. */
function explainMissingNames(
  files: readonly string[],
  imageFolder: string,
  names: readonly string[],
): MissingName[] {
  // One pass over the files, whatever their number, keeps those that one of the few names may mean.
  const wanted = new Set(names.flatMap((named) => keysOf(slashed(named))));
  const alike = files.filter((file) => keysOf(slashed(file)).some((key) => wanted.has(key)));
  const folder = imageFolder === '' ? '' : slashed(`${imageFolder}/`);
  return names.map((named) => explain(named, alike, folder));
}

/** `folder` is that of the images with a `/` at its end, or ''. */
function explain(named: string, files: readonly string[], folder: string): MissingName {
  const name = slashed(named);
  if (name.split('/').some((part) => part.startsWith('.'))) {
    const reason = 'names that begin with a dot are not read';
    return { named, reason, remedy: REMEDIES.hidden };
  }
  let best: { readonly shown: string; readonly kind: MissingKind; readonly score: number } | null =
    null;
  let rivals = 0;
  for (const file of files) {
    // As a row has to give it, where it lies in the image folder.
    const isInside = file.startsWith(folder);
    const shown = isInside ? file.slice(folder.length) : file;
    const score = Math.max(likeness(name, slashed(file)), likeness(name, slashed(shown)));
    if (score === 0 || score < (best?.score ?? 0)) continue;
    rivals = score === best?.score ? rivals + 1 : 0;
    if (rivals === 0) best = { shown, kind: kindOf(name, shown, isInside), score };
  }
  if (best === null) return { named, reason: null, remedy: null };
  const { shown, kind } = best;
  const others = rivals === 0 ? '' : ` and ${rivals} more such file${rivals === 1 ? '' : 's'}`;
  const format = kind === 'format' ? ', of a format that is not read' : '';
  return { named, reason: `there is ${shown}${others}${format}`, remedy: REMEDIES[kind] };
}

/**
 * How much of a name and of a path agree from their ends, letter case aside; 0 unless one of them is the
 * end of the other.
 */
function likeness(name: string, path: string): number {
  const parts = [name, path].map((text) => text.toLowerCase().split('/'));
  const [ofName = [], ofPath = []] = parts;
  const length = Math.min(ofName.length, ofPath.length);
  const ends = parts.map((all) => all.slice(all.length - length, -1).join('/'));
  const fit = fitOf(ofName.at(-1) ?? '', ofPath.at(-1) ?? '');
  return ends[0] !== ends[1] || fit === 0 ? 0 : 2 * length + fit;
}

/** 2: the name of the file, with its extension or without; 1: with the extension of another kind of image. */
function fitOf(name: string, file: string): number {
  if (name === file) return 2;
  // A text or a table beside a photograph is not the photograph.
  if (!hasImageExtension(file) && !isUnreadImage(file)) return 0;
  if (name === stemOf(file)) return 2;
  return hasImageExtension(name) && stemOf(name) === stemOf(file) ? 1 : 0;
}

function kindOf(name: string, shown: string, isInside: boolean): MissingKind {
  const path = slashed(shown);
  if (!hasImageExtension(path)) return 'format';
  if (shown.includes('\\')) return 'backslash';
  if (fitOf(posix.basename(name).toLowerCase(), posix.basename(path).toLowerCase()) === 1)
    return 'extension';
  const given = [path, stemOf(path)];
  const isSpelledSo = given.some((text) => posix.basename(text) === posix.basename(name));
  const isAlike = given.some((text) => text.toLowerCase() === name.toLowerCase());
  // A bare name is looked for in all folders below, so that its letters are all that may differ.
  const isBare = isInside && !name.includes('/');
  return isAlike || (isBare && !isSpelledSo) ? 'case' : 'path';
}

/** What a name and the file it may mean have in common. */
function keysOf(path: string): string[] {
  const name = posix.basename(path).toLowerCase();
  return [name, stemOf(name)];
}

function stemOf(path: string): string {
  return path.slice(0, path.length - extname(path).length);
}

/** In the form that names of rows are looked up in. */
function slashed(path: string): string {
  return posix.normalize(path.replaceAll('\\', '/')).normalize('NFC');
}
