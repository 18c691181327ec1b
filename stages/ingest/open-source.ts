import { stat } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { extractArchive } from '../../src/data/archive/extract-archive.ts';
import { checkSha256, downloadFile, hashFile } from '../../src/data/download-file.ts';
import { DataError, UsageError } from '../../src/diagnostics/errors.ts';
import type { StageContext } from '../../src/stage/definition.ts';
import type { IngestParameters } from './parameters.ts';

export interface OpenSource {
  /** Holds the images: the input itself, or what an archive, given or downloaded, unpacks to. */
  readonly folder: string;
  /** Files of an archive that were not unpacked. */
  readonly skipped: readonly string[];
}

/** The folder of the source, an archive being unpacked; null when there is no source. */
export async function openSource(
  context: StageContext<IngestParameters>,
): Promise<OpenSource | null> {
  const { parameters, scratchPath } = context;
  const source = context.inputs['source'];
  if (source === undefined) {
    return parameters.url === undefined ? null : openDownload(context, parameters.url);
  }
  if (parameters.url !== undefined) throw twoSources();
  const stats = await stat(source.path).catch((cause: unknown) => {
    throw missingSource(source.path, cause);
  });
  const shownName = relative(context.projectRoot, source.path);
  if (stats.isDirectory()) {
    if (parameters.sha256 !== undefined) throw digestOfFolder(shownName);
    return { folder: source.path, skipped: [] };
  }
  if (/\.csv$/i.test(source.path)) throw bareCsv(shownName);
  if (parameters.sha256 !== undefined) {
    checkSha256(shownName, await hashFile(source.path, context.signal), parameters.sha256);
  }
  const folder = join(scratchPath, 'source');
  return unpack(context, { archive: source.path, shownName, folder });
}

async function openDownload(
  context: StageContext<IngestParameters>,
  url: string,
): Promise<OpenSource> {
  const { parameters, scratchPath, signal } = context;
  const archive = join(scratchPath, 'download');
  await downloadFile({
    url,
    target: archive,
    // The parameters' schema asks for it beside a url.
    sha256: parameters.sha256 ?? '',
    maximumBytes: parameters.archive.maximumGigabytes * 1e9,
    signal,
    onProgress(receivedBytes, totalBytes) {
      context.progress({
        done: Math.round(receivedBytes / 1e6),
        ...(totalBytes === undefined ? {} : { total: Math.round(totalBytes / 1e6) }),
        unit: 'MB',
        label: `downloading ${basename(new URL(url).pathname)}`,
      });
    },
  });
  const folder = join(scratchPath, 'source');
  return unpack(context, { archive, shownName: url, folder });
}

async function unpack(
  { parameters, signal }: StageContext<IngestParameters>,
  files: { readonly archive: string; readonly shownName: string; readonly folder: string },
): Promise<OpenSource> {
  const { maximumEntries, maximumGigabytes } = parameters.archive;
  const limits = { maximumEntries, maximumBytes: maximumGigabytes * 1e9 };
  const skipped = await extractArchive({ ...files, limits, signal });
  return {
    folder: files.folder,
    skipped: skipped.filter((path) => !/(^|\/)(\.|__MACOSX\/)/.test(path)),
  };
}

function missingSource(path: string, cause: unknown): DataError {
  return new DataError({
    code: 'data/no-source',
    message: `${path} does not exist or cannot be read`,
    hint: 'give a folder of images or an archive; leave the input out for drawn images',
    cause,
  });
}

function bareCsv(shownName: string): DataError {
  return new DataError({
    code: 'data/csv-without-images',
    message: `${shownName} is a CSV alone; its images would not be part of the input`,
    hint: 'give the folder that holds the CSV and the images',
  });
}

function digestOfFolder(shownName: string): UsageError {
  return new UsageError({
    code: 'data/sha256-of-folder',
    message: `the parameter sha256 is that of an archive, and ${shownName} is a folder`,
    hint: 'leave sha256 out: the content of a folder is part of the key of the stage anyway',
  });
}

function twoSources(): UsageError {
  return new UsageError({
    code: 'data/two-sources',
    message: 'the stage has both a source input and the parameter url',
    hint: 'leave one of them out',
  });
}
