import { openPromise, type Entry, type ZipFile } from 'yauzl';
import { invalidArchive, isWantedEntry, safeEntryPath, unsafeEntry } from './entry-path.ts';
import type { ExtractionContext } from './extract-archive.ts';
import { makeFolder, writeEntry } from './write-entry.ts';

/** File type bits of a Unix mode, and the two types that may be unpacked (0 where not recorded). */
const TYPE_MASK = 0o170000;
const FILE_TYPE = 0o100000;
const FOLDER_TYPE = 0o040000;

/** What yauzl says of names that leave the folder; it checks them before an entry is handed out. */
const UNSAFE_NAME =
  /^(?:absolute path|invalid relative path|invalid characters in fileName): (.*)$/s;

/** Unpacks the images, label files and folders of a zip. */
export async function extractZip(context: ExtractionContext): Promise<void> {
  const { archive, shownName } = context;
  const zip = await openPromise(archive, { lazyEntries: true, autoClose: false });
  try {
    for await (const entry of zip.eachEntry()) await extractEntry(context, zip, entry);
  } catch (error) {
    const unsafeName = error instanceof Error ? UNSAFE_NAME.exec(error.message)?.[1] : undefined;
    if (unsafeName === undefined) throw error;
    throw unsafeEntry(shownName, unsafeName, 'leaves the folder it is unpacked to');
  } finally {
    zip.close();
  }
}

async function extractEntry(context: ExtractionContext, zip: ZipFile, entry: Entry): Promise<void> {
  const { shownName, budget, folder, signal } = context;
  signal.throwIfAborted();
  budget.addEntry();
  const path = safeEntryPath(shownName, entry.fileName);
  const type = (entry.externalFileAttributes >>> 16) & TYPE_MASK;
  if (type !== 0 && type !== FILE_TYPE && type !== FOLDER_TYPE) {
    throw unsafeEntry(shownName, entry.fileName, 'is a link or a device, not a file');
  }
  if (entry.fileName.endsWith('/') || type === FOLDER_TYPE) return makeFolder(folder, path);
  if (!isWantedEntry(path)) {
    context.skipped.push(path);
    return;
  }
  if ((entry.generalPurposeBitFlag & 1) === 1) {
    throw invalidArchive(shownName, `entry "${entry.fileName}" is encrypted`);
  }
  const content = await zip.openReadStreamPromise(entry);
  await writeEntry({ content, folder, path, budget, signal });
}
