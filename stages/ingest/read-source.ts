import { relative } from 'node:path';
import type { Split } from '../../src/data/dataset-index.ts';
import { shortenIds } from '../../src/data/image-ids.ts';
import { listFolder, listImageFiles } from '../../src/data/list-image-files.ts';
import { readLabelCsv } from '../../src/data/read-label-csv.ts';
import {
  describeUnreadFormats,
  describeUnreadTables,
  listUnreadFiles,
} from '../../src/data/unread-files.ts';
import { scanClassFolders, skipSingleFolders } from '../../src/data/scan-class-folders.ts';
import {
  parseSplitName,
  type SourceContent,
  type SourceImage,
} from '../../src/data/source-image.ts';
import { DataError, UsageError } from '../../src/diagnostics/errors.ts';
import { describeRepeatedFolders } from './describe-repeated-folders.ts';
import { describeUnnamedImages } from './describe-unnamed-images.ts';
import {
  chooseLabelFiles,
  describeLabelFiles,
  findDeeperLabelFiles,
} from './find-deeper-label-files.ts';
import {
  describeUnreadCsv,
  findLabelFiles,
  refuseUnknownColumns,
  type LabelFile,
} from './find-label-files.ts';
import type { IngestParameters } from './parameters.ts';

export interface SourceNames {
  /** What the user gave. */
  readonly shownName: string;
  /** Files of an archive that were not unpacked. */
  readonly skipped: readonly string[];
}

/** What a source holds, with what to say of its CSV files. */
type ReadSource = SourceContent & { readonly notes: readonly string[] };

/**
 * Every labelled image of a source folder, after its layout.
 * @throws DataError, with what was expected when nothing usable is there
 */
export async function readSource(
  folder: string,
  parameters: IngestParameters,
  { shownName, skipped }: SourceNames,
): Promise<ReadSource> {
  const root = await skipSingleFolders(folder);
  const content = await readByLayout(root, parameters);
  const unread = [...skipped, ...(await listUnreadFiles(root))];
  if (content === null || content.images.length === 0) {
    const below = relative(folder, root);
    const name = below === '' ? shownName : `${shownName}/${below}`;
    throw await notADataset(root, name, unread);
  }
  const images = shortenIds(content.images);
  refuseRepeatedIds(images);
  const notes = [...content.notes, ...describeUnread(content, unread)];
  return { ...content, notes, images: addGroups(images, root, parameters.groupPattern) };
}

async function readByLayout(
  root: string,
  parameters: IngestParameters,
): Promise<ReadSource | null> {
  const { layout } = parameters;
  const isCsvAsked = layout === 'csv' || parameters.csv !== undefined;
  const inFolders = isCsvAsked ? null : await scanClassFolders(root);
  if (layout === 'class-folders' || (inFolders !== null && isGradedTree(inFolders))) {
    refuseColumns(parameters);
    return withNotes(inFolders, []);
  }
  if (parameters.csv !== undefined) {
    return readLabelFiles(root, parameters.csv, parameters);
  }
  const found = await findLabelFiles(root, parameters);
  if (found.labelFiles.length === 0) refuseUnknownColumns(found, inFolders);
  const notes = describeUnreadCsv(found);
  if (found.labelFiles.length > 0) {
    return readLabelFiles(root, found.labelFiles, parameters, notes);
  }
  const deeper = await findDeeperLabelFiles(root, parameters);
  if (deeper.length > 0) {
    const labelFiles = chooseLabelFiles(deeper);
    return readLabelFiles(root, labelFiles, parameters, [...notes, describeLabelFiles(labelFiles)]);
  }
  // A CSV that is no label file is told as such only where there is nothing else to read.
  const [first] = found.others;
  if (isCsvAsked || inFolders === null) {
    return readLabelFiles(root, first === undefined ? [] : [first], parameters);
  }
  refuseColumns(parameters);
  return withNotes(inFolders, notes);
}

function withNotes(content: SourceContent | null, notes: readonly string[]): ReadSource | null {
  return content === null ? null : { ...content, notes };
}

const COLUMNS = ['imageColumn', 'labelColumn', 'splitColumn', 'groupColumn'] as const;

/** Where folders tell everything a column would do nothing: a group in it would come apart unseen. */
function refuseColumns(parameters: IngestParameters): void {
  const named = COLUMNS.filter((name) => (parameters[name] ?? '') !== ''); // '' is for none
  if (named.length === 0) return;
  throw new UsageError({
    code: 'data/unused-column',
    message: `${named.join(', ')} ${named.length === 1 ? 'names a column' : 'name columns'} of a CSV, but the images are read from class folders`,
    hint: 'set layout: csv where a CSV has the labels; else leave them out, and use groupPattern for groups',
  });
}

/**
 * Whether folders alone tell labels and splits. Folders of which one is called `images` and lies beside
 * a label file do not.
 */
function isGradedTree({ images }: SourceContent): boolean {
  const classes = new Set(images.map(({ className }) => className));
  return classes.size > 1 && images.every(({ split }) => split !== undefined);
}

async function readLabelFiles(
  root: string,
  labelFiles: readonly LabelFile[],
  parameters: IngestParameters,
  unread: readonly string[] = [],
): Promise<ReadSource | null> {
  const images: SourceImage[] = [];
  const notes = [...unread];
  const fileOf = new Map<string, string>();
  for (const { file, split, imageFolder } of labelFiles) {
    const labelled = await readLabelCsv({
      ...parameters,
      root,
      file,
      imageFolder: imageFolder ?? (await guessImageFolder(root, split)),
      isFolderGuessed: imageFolder === undefined,
      ...(split === undefined ? {} : { split, isSplitGuessed: parameters.csv === undefined }),
    });
    notes.push(...labelled.notes);
    refuseSharedImages(file, labelled.images, fileOf);
    // One by one: as arguments of one push, a hundred thousand images overflow the stack.
    for (const image of labelled.images) images.push(image);
  }
  if (images.length === 0) return null;
  const unnamed = await describeUnnamedImages(root, labelFiles, images);
  if (unnamed !== null) notes.push(unnamed);
  return { images, emptyClasses: [], unreadFolders: [], looseImages: [], notes };
}

/** Notes which label file each image is of; two of them give it no one label or split. */
function refuseSharedImages(
  file: string,
  images: readonly SourceImage[],
  fileOf: Map<string, string>,
): void {
  const shared = images.filter(({ path }) => fileOf.has(path));
  const [first] = shared;
  if (first === undefined) {
    for (const { path } of images) fileOf.set(path, file);
    return;
  }
  const other = fileOf.get(first.path) ?? '';
  throw new DataError({
    code: 'data/repeated-image',
    message: `${shared.length} image(s) are labelled by both ${other} and ${file}, such as ${first.id}`,
    hint: `name the label files to read with the parameter csv, such as csv: [{ file: ${file} }]; where both use one name for different images, set imageFolder of each`,
  });
}

/** The folder at the top that is called like the split, when there is one. */
async function guessImageFolder(root: string, split: Split | undefined): Promise<string> {
  if (split === undefined) return '';
  const { folders } = await listFolder(root);
  return folders.find((name) => parseSplitName(name) === split) ?? '';
}

function addGroups(
  images: readonly SourceImage[],
  root: string,
  groupPattern: string | undefined,
): SourceImage[] {
  if (groupPattern === undefined) return [...images];
  const pattern = new RegExp(groupPattern, 'u'); // the parameters' schema has tried it
  return images.map((image) => {
    const group = pattern.exec(image.path.slice(root.length + 1).replaceAll('\\', '/'))?.[1];
    return group === undefined ? image : { ...image, group };
  });
}

/** One image in two rows has no one label or split. */
function refuseRepeatedIds(images: readonly SourceImage[]): void {
  const seen = new Set<string>();
  for (const { id } of images) {
    if (seen.has(id)) {
      throw new DataError({
        code: 'data/repeated-image',
        message: `image ${id} is labelled more than once`,
        hint: 'keep one row for each image',
      });
    }
    seen.add(id);
  }
}

/** A single class is what is left where a table that is not read has the labels. */
function describeUnread({ images }: SourceContent, unread: readonly string[]): string[] {
  const formats = describeUnreadFormats(unread);
  const classes = new Set(images.map(({ className }) => className));
  const tables = classes.size > 1 ? null : describeUnreadTables(unread);
  const [name = ''] = classes;
  return [
    ...(formats === null ? [] : [formats]),
    ...(classes.size > 1
      ? []
      : [
          `all images (${images.length}) are of one class, ${name}: a model trained on them names it for every image; give one folder a class, or a CSV of image and label${tables === null ? '' : `; ${tables}`}`,
        ]),
    ...describeRepeatedFolders(images),
  ];
}

async function notADataset(
  root: string,
  shownName: string,
  unread: readonly string[],
): Promise<DataError> {
  const { files, folders } = await listFolder(root);
  const shown = [...folders.map((name) => `${name}/`), ...files].slice(0, 8).join(', ');
  const formats = describeUnreadFormats(unread);
  const hasImages = formats !== null || (await listImageFiles(root)).length > 0;
  const tables = hasImages ? describeUnreadTables(unread) : null;
  return new DataError({
    code: 'data/no-images',
    message: [
      `${shownName} is not a dataset; it holds ${shown || 'no images and no CSV'}`,
      ...(formats === null ? [] : [formats]),
      ...(tables === null ? [] : [tables]),
    ].join('; '),
    hint: 'expected one folder a class with images in it (with or without train, validation and test folders above), or a CSV of image and label beside the images',
  });
}
