import { parseSplitName, readClassName, type SourceImage } from '../../src/data/source-image.ts';
import { shortenList } from '../../src/diagnostics/shorten-list.ts';

/** Folders shown by name; the rest are counted. */
const SHOWN_FOLDERS = 5;

/**
 * What to say where class folders all hold the same folders, as images/{cat,dog} beside masks/{cat,dog}
 * do: those inside may be the classes.
 */
export function describeRepeatedFolders(images: readonly SourceImage[]): string[] {
  const inner = new Map<string, Set<string>>();
  for (const { id, className } of images) {
    const folders = id.split('/').slice(0, -1);
    const at = parseSplitName(folders[0] ?? '') === undefined ? 0 : 1;
    const [name, below] = folders.slice(at);
    // An image right in its class folder, or in none, says that the folders above are the classes.
    if (name === undefined || below === undefined) return [];
    if (className !== readClassName(name)) return []; // a CSV tells the classes
    inner.set(name, (inner.get(name) ?? new Set()).add(below));
  }
  const [first, ...others] = [...inner.values()];
  if (first === undefined || first.size < 2 || others.length === 0) return [];
  const areSame = others.every(
    (set) => set.size === first.size && [...set].every((name) => first.has(name)),
  );
  return areSame
    ? [
        `the class folders ${shortenList([...inner.keys()], SHOWN_FOLDERS)} all hold the same folders, ${shortenList([...first], SHOWN_FOLDERS)}: where those are the classes, give the one folder with the photographs as the source`,
      ]
    : [];
}
