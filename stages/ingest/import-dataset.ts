import { constants } from 'node:fs';
import { copyFile, mkdir } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { findProblems, type Finding, type FindingKind } from '../../src/data/dataset-findings.ts';
import type { DatasetImage, Split } from '../../src/data/dataset-index.ts';
import { describeOrientations, isTurned } from '../../src/data/describe-orientations.ts';
import { compareNatural } from '../../src/data/natural-order.ts';
import { readClassName } from '../../src/data/source-image.ts';
import { datasetFile, IMAGE_FOLDER } from '../../src/data/write-dataset.ts';
import { DataError, InternalError, InterruptedError } from '../../src/diagnostics/errors.ts';
import type { StageContext } from '../../src/stage/definition.ts';
import { checkImages, findNearDuplicates, type OpenedImage } from './check-images.ts';
import { chooseSplits } from './choose-splits.ts';
import { describeEmptySplits } from './describe-empty-splits.ts';
import { describeUngrouped } from './describe-ungrouped.ts';
import { describeLeftOutImages } from './describe-left-out-images.ts';
import type { LabelledDataset } from './labelled-dataset.ts';
import type { IngestParameters } from './parameters.ts';
import type { OpenSource } from './open-source.ts';
import { readSource } from './read-source.ts';
import { findSmallClasses } from './small-classes.ts';

/** Findings an error message shows; the rest are counted. */
const SHOWN_ERRORS = 10;

export interface ImportedDataset {
  readonly dataset: LabelledDataset;
  readonly findings: readonly Finding[];
  /** What was told of how the source was read. */
  readonly notes: readonly string[];
}

/** Copies the images of a source folder into the artifact's folder, labelled, split and checked. */
export async function importDataset(
  context: StageContext<IngestParameters>,
  { folder: sourceFolder, skipped }: OpenSource,
  folder: string,
): Promise<ImportedDataset> {
  const { parameters } = context;
  const notes: string[] = [];
  const tell = (note: string | null): void => {
    if (note === null) return;
    notes.push(note);
    context.warn(note);
  };
  const source = await readSource(sourceFolder, parameters, {
    shownName: sourceName(context, sourceFolder),
    skipped,
  });
  for (const note of source.notes) tell(note);
  tell(describeUngrouped(source.images, parameters));
  for (const note of describeLeftOutImages(source)) tell(note);
  const opened = await checkImages(context, source.images);
  const { kept, findings } = findProblems(opened, parameters.findings);
  const emptyNames = source.emptyClasses.map((name) =>
    readClassName(name.slice(name.lastIndexOf('/') + 1)),
  );
  const classes = chooseClasses(opened, emptyNames, parameters.classes);
  const labels = new Map(kept.map(({ id, className }) => [id, classes.indexOf(className)]));
  const splits = chooseSplits(kept, labels, parameters);
  const images = kept.map((image) => toDatasetImage(image, labels, splits));
  const all = [
    ...findings,
    ...findNearDuplicates(kept),
    ...findSmallClasses({ classes, images, emptyClasses: source.emptyClasses, parameters }),
  ];
  reportFindings(context, all);
  const given = new Set(kept.flatMap(({ split }) => (split === undefined ? [] : [split])));
  for (const empty of describeEmptySplits(images, given, parameters)) tell(empty);
  tell(describeOrientations(turnedIds(kept)));
  await copyImages(context, kept, folder);
  return { dataset: { classes, images }, findings: all, notes };
}

/** What the user gave, not where an archive was unpacked to. */
function sourceName(
  { inputs, parameters }: StageContext<IngestParameters>,
  folder: string,
): string {
  return inputs['source']?.path ?? parameters.url ?? folder;
}

function turnedIds(images: readonly OpenedImage[]): string[] {
  return images.filter(({ orientation = 1 }) => isTurned(orientation)).map(({ id }) => id);
}

function chooseClasses(
  images: readonly OpenedImage[],
  emptyNames: readonly string[],
  named: readonly string[] | undefined,
): readonly string[] {
  const wanted = named?.map(readClassName);
  const found = [...new Set([...images.map((image) => image.className), ...emptyNames])];
  found.sort(compareNatural);
  if (wanted === undefined) return found;
  const unknown = found.filter((name) => !wanted.includes(name));
  if (unknown.length === 0) return wanted;
  throw new DataError({
    code: 'data/unknown-class',
    message: `the source has classes that the parameter classes does not name: ${unknown.join(', ')}`,
    hint: `named are ${wanted.join(', ')}; found are ${found.join(', ')}`,
  });
}

function toDatasetImage(
  { id, sha256, path, group }: OpenedImage,
  labels: ReadonlyMap<string, number>,
  splits: ReadonlyMap<string, Split>,
): DatasetImage {
  const label = labels.get(id);
  const split = splits.get(id);
  if (label === undefined || split === undefined) throw new InternalError(`${id} was not placed`);
  return {
    id,
    file: datasetFile(sha256, extensionOf(path)),
    sha256,
    label,
    split,
    ...(group === undefined ? {} : { group }),
  };
}

/** @throws DataError `data/findings` when one of them is an error */
function reportFindings(
  context: StageContext<IngestParameters>,
  findings: readonly Finding[],
): void {
  for (const { kind, action, message } of findings) context.log(`${kind} (${action}): ${message}`);
  const errors = findings.filter((finding) => finding.action === 'error');
  const [first] = errors;
  if (first !== undefined) throw refused(first, errors);
  const countByKind = new Map<string, number>();
  for (const { kind, action } of findings) {
    const key = `${describe(kind)} (${action === 'exclude' ? 'excluded' : 'kept'})`;
    countByKind.set(key, (countByKind.get(key) ?? 0) + 1);
  }
  for (const [key, count] of countByKind) context.warn(`${count} x ${key}; see the report`);
}

function refused(first: Finding, errors: readonly Finding[]): DataError {
  const lines = errors.slice(0, SHOWN_ERRORS).map((finding) => finding.message);
  const rest = errors.length - lines.length;
  if (rest > 0) lines.push(`and ${rest} more`);
  const kinds = [...new Set(errors.map((finding) => finding.kind))];
  const parameters = kinds.map((kind) => `findings.${PARAMETER_OF[kind]}`).join(', ');
  return new DataError({
    code: first.kind === 'unreadable' ? 'data/unreadable-image' : `data/${first.kind}`,
    message: lines.join('\n'),
    hint: `mend the data, or set ${parameters} to ${kinds.every((kind) => kind === 'small-class') ? 'warn' : 'exclude or warn'}`,
  });
}

/** The policy parameter that governs a kind. */
const PARAMETER_OF: Readonly<Record<FindingKind, string>> = {
  unreadable: 'unreadable',
  duplicate: 'duplicates',
  'label-conflict': 'labelConflicts',
  leak: 'leaks',
  'near-duplicate': 'duplicates',
  'small-class': 'smallClasses',
};

function describe(kind: FindingKind): string {
  const words: Readonly<Record<FindingKind, string>> = {
    unreadable: 'unreadable image',
    duplicate: 'byte-identical photographs with one label',
    'label-conflict': 'byte-identical photographs with different labels',
    leak: 'photograph or group in several splits',
    'near-duplicate': 'photographs that look the same but differ in their bytes',
    'small-class': 'class with too few images',
  };
  return words[kind];
}

async function copyImages(
  context: StageContext<IngestParameters>,
  images: readonly OpenedImage[],
  folder: string,
): Promise<void> {
  await mkdir(join(folder, IMAGE_FOLDER), { recursive: true });
  for (const [i, { path, sha256 }] of images.entries()) {
    if (context.signal.aborted) throw new InterruptedError();
    // Shares the blocks where the file system can, copies otherwise.
    await copyFile(
      path,
      join(folder, datasetFile(sha256, extensionOf(path))),
      constants.COPYFILE_FICLONE,
    );
    context.progress({ done: i + 1, total: images.length, unit: 'images', label: 'copying' });
  }
}

function extensionOf(path: string): string {
  return extname(path).toLowerCase();
}
