import { mkdir, realpath } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { describeOrientations } from '../data/describe-orientations.ts';
import type { Normalization } from '../data/image-shards.ts';
import { writeTensorShards, type WrittenTensors } from '../data/tensor-shards.ts';
import { DataError, UsageError } from '../diagnostics/errors.ts';
import type { ReadModel } from '../onnx/reader.ts';
import type { ImageSelection } from '../workers/run-image-batches.ts';
import { photographNormalization } from './input-form.ts';
import type {
  CalibrateModelOptions,
  InputTensors,
  QuantizeModelOptions,
} from './library-options.ts';
import { describeOutlyingInputs } from './outlying-inputs.ts';
import { packImages } from './pack-images.ts';
import type { ResolvedFolder, ResolvedImages } from './resolve-folder.ts';
import { untilAborted } from './until-aborted.ts';
import type { ComparedImages } from './report-quantization.ts';
import {
  calibrationOf,
  comparedOf,
  findPhotographs,
  NONE_LEFT,
  splitPhotographs,
  unreadNotes,
} from './split-photographs.ts';

/** What the model takes, and where its inputs are put for worker threads to find. */
export interface ImagesPlace {
  readonly readModel: ReadModel;
  /** What messages call the model. */
  readonly shownName: string;
  readonly inputLayout: 'nchw' | 'nhwc';
  readonly height: number;
  readonly width: number;
  readonly scratchPath: string;
  /** Gets the photographs that carry an EXIF orientation. */
  readonly onTurned?: (files: readonly string[]) => void;
  /** Gets what is to be told of the inputs. */
  readonly onNote?: (note: string) => void;
}

export interface PreparedImages {
  /** To calibrate on. */
  readonly images: ImageSelection;
  /** Of photographs; nothing is known of tensors. */
  readonly normalization?: Normalization;
}

export interface PreparedComparison extends PreparedImages {
  readonly compared: ComparedImages;
  /** What is to be told of the folders. */
  readonly notes: readonly string[];
}

interface CalibrationSource extends CalibrateModelOptions {
  readonly images: ResolvedImages;
}

interface ComparisonSource extends QuantizeModelOptions {
  readonly images: ResolvedImages;
  readonly compare?: ResolvedImages;
}

/** Puts the images to calibrate on in their place, those `quantizeModel` would take. */
export async function prepareCalibration(
  options: CalibrationSource,
  place: ImagesPlace,
): Promise<PreparedImages> {
  const { images, count } = options;
  if (!('folder' in images)) {
    return { images: (await takeTensors({ images }, options, place)).selection };
  }
  const normalization = await photographNormalization(images, place);
  const { calibration } = splitPhotographs(await photographsOf(images), count);
  const photographs = { ...images, files: calibration, normalization };
  return { images: await takePhotographs(photographs, options, place), normalization };
}

/** The same, and images that are not calibrated on: given ones, or what a folder has beside them. */
export async function prepareComparison(
  options: ComparisonSource,
  place: ImagesPlace,
): Promise<PreparedComparison> {
  const turned: string[] = [];
  const onTurned = (files: readonly string[]): void => void turned.push(...files); // of hundreds
  const inputNotes: string[] = [];
  const onNote = (note: string): void => void inputNotes.push(note);
  const prepared = await takeBoth(options, { ...place, onTurned, onNote });
  const orientations = describeOrientations(turned);
  const notes = [
    ...(await folderNotes(options.images, options.compare)),
    ...(orientations === null ? [] : [orientations]),
    ...inputNotes,
  ];
  return { ...prepared, notes };
}

async function takeBoth(
  options: ComparisonSource,
  place: ImagesPlace,
): Promise<Omit<PreparedComparison, 'notes'>> {
  const { images, compare, count } = options;
  if (!('folder' in images)) {
    const { selection, digests } = await takeTensors({ images }, options, place);
    const compared = await takeCompared(options, { files: [], digests }, place);
    return { images: selection, compared };
  }
  const normalization = await photographNormalization(images, place, options.inputType);
  const files = await photographsOf(images);
  if (compare !== undefined) {
    await requireSameNormalization(compare, normalization, place);
    const calibration = calibrationOf(files, count);
    const photographs = { ...images, files: calibration, normalization };
    const calibrated = await takePhotographs(photographs, options, place);
    const compared = await takeCompared(options, { files: calibration, normalization }, place);
    return { images: calibrated, normalization, compared };
  }
  const split = splitPhotographs(files, count);
  const rest = await comparedOf(split, options.signal);
  const photographs = { ...images, files: split.calibration, normalization };
  const calibrated = await takePhotographs(photographs, options, place);
  const compared: ComparedImages =
    rest.length === 0
      ? { whyNone: NONE_LEFT }
      : {
          ...(await takePhotographs({ ...photographs, files: rest }, options, place)),
          shown: 'the rest of the folder',
        };
  return { images: calibrated, normalization, compared };
}

async function folderNotes(...sources: readonly (ResolvedImages | undefined)[]): Promise<string[]> {
  const shownFolders = new Map<string, string>();
  for (const source of sources) {
    if (source !== undefined && 'folder' in source && !shownFolders.has(source.folder)) {
      shownFolders.set(source.folder, source.shownFolder);
    }
  }
  const notes: string[] = [];
  for (const [folder, shown] of shownFolders) notes.push(...(await unreadNotes(folder, shown)));
  return notes;
}

function photographsOf({ folder, shownFolder }: ResolvedFolder): Promise<string[]> {
  return findPhotographs(folder, shownFolder);
}

/** What was calibrated on. */
interface Calibrated {
  /** Photographs. */
  readonly files: readonly string[];
  readonly normalization?: Normalization;
  /** Of inputs. */
  readonly digests?: ReadonlySet<string>;
}

/** Of what was given as `compare`, all that was not calibrated on, and is no copy of what was. */
async function takeCompared(
  options: ComparisonSource,
  { files: calibration, normalization, digests }: Calibrated,
  place: ImagesPlace,
): Promise<ComparedImages> {
  const { compare } = options;
  if (compare === undefined) {
    return {
      whyNone: 'all inputs calibrate; the option "compare" takes others, to compare the models on',
    };
  }
  if (!('folder' in compare)) {
    const { selection, writtenCount } = await takeTensors({ compare }, options, place, digests);
    return writtenCount === 0
      ? { whyNone: 'every input to compare on was calibrated on, or is a copy of one that was' }
      : { ...selection, shown: 'the inputs to compare on' };
  }
  const used = new Set(await Promise.all(calibration.map((file) => realpath(file))));
  const others: string[] = [];
  for (const file of await photographsOf(compare)) {
    if (!used.has(await realpath(file))) others.push(file);
  }
  const files = await comparedOf({ calibration, others }, options.signal);
  if (files.length === 0) {
    return {
      whyNone: `every photograph of ${compare.shownFolder} was calibrated on, or is a copy of one that was`,
    };
  }
  const own = normalization ?? (await photographNormalization(compare, place));
  const photographs = { ...compare, files, normalization: own };
  const selection = await takePhotographs(photographs, options, place);
  return { ...selection, shown: compare.shownFolder };
}

/**
 * Verifies that photographs to compare on are not to be normalized in another way than those to calibrate
 * on: a model takes its pixels in one.
 * @throws UsageError `library/invalid-options`
 */
async function requireSameNormalization(
  compare: ResolvedImages,
  normalization: Normalization,
  place: ImagesPlace,
): Promise<void> {
  if (!('folder' in compare)) return;
  const isGiven = [compare.preset, compare.mean, compare.std].some((value) => value !== undefined);
  if (!isGiven) return; // it is that of the others
  const own = await photographNormalization(compare, place);
  if (isDeepStrictEqual(own, normalization)) return;
  const shown = ({ mean, std }: Normalization): string =>
    `mean ${mean.join()} and std ${std.join()}`;
  throw new UsageError({
    code: 'library/invalid-options',
    message: `quantizeModel: the photographs of "compare" are to be normalized by ${shown(own)}, those of "images" by ${shown(normalization)}, and a model takes its pixels in one way`,
    hint: 'leave preset, mean and std of "compare" out: they are those of "images"',
  });
}

let folderCount = 0;

async function newFolder({ scratchPath }: ImagesPlace): Promise<string> {
  folderCount += 1; // threads know images by their folder
  const folder = join(scratchPath, `images-${folderCount}`);
  await mkdir(folder);
  return folder;
}

/** Photographs of a folder that are to be packed. */
interface Photographs extends Pick<ResolvedFolder, 'folder' | 'shownFolder'> {
  readonly files: readonly string[];
  readonly normalization: Normalization;
}

async function takePhotographs(
  { files, normalization, folder: source, shownFolder }: Photographs,
  { signal, onProgress }: CalibrateModelOptions,
  place: ImagesPlace,
): Promise<ImageSelection> {
  const { height, width } = place;
  const folder = await newFolder(place);
  const { turned } = await packImages({
    files,
    folder,
    height,
    width,
    normalization,
    shownName: (file) => join(shownFolder, relative(source, file)),
    ...(signal === undefined ? {} : { signal }),
    onProgress: (done, total) => onProgress?.({ phase: 'read', done, total }),
  });
  place.onTurned?.(turned);
  return selectAll(folder, files.length);
}

/** Inputs by the option they were given as. */
type GivenTensors = { readonly images: InputTensors } | { readonly compare: InputTensors };

/** All inputs but those of the digests that are to be left out. */
async function takeTensors(
  given: GivenTensors,
  { onProgress, signal }: CalibrateModelOptions,
  place: ImagesPlace,
  leftOut?: ReadonlySet<string>,
): Promise<WrittenTensors & { readonly selection: ImageSelection }> {
  const { height, width } = place;
  const [called, tensors] =
    'images' in given ? (['images', given.images] as const) : (['compare', given.compare] as const);
  const folder = await newFolder(place);
  const written = await writeTensorShards({
    folder,
    dims: place.inputLayout === 'nchw' ? [3, height, width] : [height, width, 3],
    tensors: counted(untilAborted(tensors, signal), (done) =>
      onProgress?.({ phase: 'read', done, total: null }),
    ),
    ...(leftOut === undefined ? {} : { leftOut }),
  });
  const { writtenCount, largest } = written;
  if (largest.length === 0) throw noInputs();
  const outlying = describeOutlyingInputs(largest, called);
  if (outlying !== null) place.onNote?.(outlying);
  return { ...written, selection: selectAll(folder, writtenCount) };
}

function selectAll(folder: string, count: number): ImageSelection {
  return { folder, split: 'train', indices: Array.from({ length: count }, (_, i) => i) };
}

async function* counted(
  tensors: AsyncIterable<Float32Array>,
  onCount: (done: number) => void,
): AsyncGenerator<Float32Array> {
  let done = 0;
  for await (const tensor of tensors) {
    yield tensor;
    done += 1;
    onCount(done);
  }
}

function noInputs(): DataError {
  return new DataError({
    code: 'quantize/no-photographs',
    message: 'there is no image to calibrate or to compare on: the inputs given are none',
    hint: 'give images like those the model will see, a hundred or so',
  });
}
