import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract, type Header } from 'tar-stream';
import { InternalError } from '../../diagnostics/errors.ts';
import { isWantedEntry, safeEntryPath, unsafeEntry } from './entry-path.ts';
import type { ExtractionContext } from './extract-archive.ts';
import { makeFolder, writeEntry } from './write-entry.ts';

/** One file of a tar, as tar-stream hands it out. */
type TarEntry = AsyncIterable<unknown> & { readonly header: Header; resume(): unknown };

/** Unpacks the images, label files and folders of a tar, gzipped or not. */
export async function extractTar(context: ExtractionContext, isGzipped: boolean): Promise<void> {
  const entries = extract();
  const source = createReadStream(context.archive);
  const feeding = isGzipped
    ? pipeline(source, createGunzip(), entries, { signal: context.signal })
    : pipeline(source, entries, { signal: context.signal });
  const reading = readEntries(context, entries);
  const [fed, read] = await Promise.allSettled([feeding, reading]);
  // A refusal inside the archive ends the feeding too; its reason is the one to show.
  if (read.status === 'rejected') throw asError(read.reason);
  if (fed.status === 'rejected') throw asError(fed.reason);
}

async function readEntries(
  context: ExtractionContext,
  entries: AsyncIterable<TarEntry>,
): Promise<void> {
  for await (const entry of entries) await extractEntry(context, entry);
}

async function extractEntry(context: ExtractionContext, entry: TarEntry): Promise<void> {
  const { shownName, budget, folder, signal } = context;
  const { name, type } = entry.header;
  budget.addEntry();
  const path = safeEntryPath(shownName, name);
  if (type !== 'file' && type !== 'contiguous-file' && type !== 'directory') {
    throw unsafeEntry(shownName, name, `is a ${type}, not a file`);
  }
  if (type !== 'directory' && isWantedEntry(path)) {
    return writeEntry({ content: Readable.from(entry), folder, path, budget, signal });
  }
  if (type === 'directory') await makeFolder(folder, path);
  else context.skipped.push(path);
  entry.resume();
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new InternalError(String(reason));
}
