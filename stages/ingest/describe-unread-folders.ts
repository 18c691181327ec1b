/** Folders shown by name; the rest are counted. */
const SHOWN_FOLDERS = 10;

/** What to say on folders with images that lie beside the split folders; null when there are none. */
export function describeUnreadFolders(folders: readonly string[]): string | null {
  const [first] = folders;
  if (first === undefined) return null;
  const shown = folders.slice(0, SHOWN_FOLDERS).map((name) => `${name}/`);
  const rest = folders.length - shown.length;
  const named = `${shown.join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
  return `images in ${named} are left out: beside train, validation or test folders only those are read; move what belongs to a split into its folder, as SPLIT/CLASS/IMAGE`;
}
