import { availableParallelism } from 'node:os';
import { mkdir, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describeOrientations } from '../data/describe-orientations.ts';
import { UsageError } from '../diagnostics/errors.ts';
import type { ClassifierSignature } from '../onnx/model-signature.ts';
import { readClassifier } from '../onnx/read-classifier.ts';
import type { ImageSelection } from '../workers/run-image-batches.ts';
import { timeModels, type Timing } from './compare-models.ts';
import { photographNormalization } from './input-form.ts';
import type { NormalizationChoice } from './normalization-choice.ts';
import { packImages } from './pack-images.ts';
import type { QuantizationReport } from './quantization-report.ts';
import { quantizeImages, type QuantizationChoices } from './quantize-images.ts';
import { requireImageModel } from './require-image-model.ts';
import { requireModelFile } from './require-model-file.ts';
import { requireRunnable } from './require-runnable.ts';
import { modelFiles, photographFiles, requireWritable } from './require-writable.ts';
import {
  comparedOf,
  findPhotographs,
  NONE_LEFT,
  splitPhotographs,
  unreadNotes,
} from './split-photographs.ts';
import { makeTemporaryFolder, withRemoval } from './temporary.ts';

export type { Preset } from './normalization-choice.ts';

export interface FolderProgress {
  readonly phase: 'decode' | 'calibrate' | 'correct biases' | 'sensitivity' | 'compare';
  readonly done: number;
  readonly total: number;
}

export interface QuantizeFolderOptions extends NormalizationChoice, QuantizationChoices {
  readonly modelPath: string;
  /** Searched for photographs at any depth. */
  readonly dataFolder: string;
  readonly outputPath: string;
  /** Calibration images. */
  readonly count?: number;
  /** Side of the square input in pixels; needed only where the model leaves it open. */
  readonly size?: number;
  readonly workerCount?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: FolderProgress) => void;
  readonly log?: (line: string) => void;
}

export interface QuantizeFolderResult extends QuantizationReport, Timing {
  readonly outputPath: string;
  readonly calibrationImageCount: number;
  /** How the ranges of activations were chosen, such as `auto (mse)`. */
  readonly calibrationMethod: string;
  readonly comparedImageCount: number;
  /** The whole report for people. */
  readonly reportMarkdown: string;
}

/**
 * Quantizes a model with nothing but a folder of photographs: every k-th of them in sorted order
 * calibrates and corrects biases, others measure how closely the result follows the float model. The
 * output appears complete or not at all.
 */
export async function quantizeFolder(
  options: QuantizeFolderOptions,
): Promise<QuantizeFolderResult> {
  const { modelPath, outputPath, dataFolder, log, signal } = options;
  await requireModelFile(modelPath);
  const writtenPath = await requireWritable({ what: 'output', path: outputPath }, [
    ...(await modelFiles(modelPath, outputPath)),
    ...(await photographFiles(dataFolder, outputPath)),
  ]);
  const { readModel, signature } = await readClassifier(modelPath);
  const source = { readModel, shownName: modelPath };
  const normalization = await photographNormalization(options, source, options.inputType);
  const size = inputSize(options, signature);
  requireImageModel(signature, modelPath, size);
  await requireRunnable(modelPath, signature, { ...size, shownName: modelPath });
  const split = splitPhotographs(await findPhotographs(dataFolder), options.count);
  const comparedFiles = await comparedOf(split, signal);
  const calibrationCount = split.calibration.length;
  const comparedCount = comparedFiles.length;
  log?.(`images: ${calibrationCount} to calibrate on, ${comparedCount} others to compare on`);
  const folder = makeTemporaryFolder('drq-quantize-');
  const partialPath = `${writtenPath}.${process.pid}.partial`;
  return withRemoval([folder, partialPath], async () => {
    const shared = {
      workerCount: options.workerCount ?? availableParallelism(),
      scratchPath: folder,
      ...(signal === undefined ? {} : { signal }),
    };
    const { turned } = await packImages({
      files: [...split.calibration, ...comparedFiles],
      folder,
      ...size,
      normalization,
      ...shared,
      onProgress: (done, total) => options.onProgress?.({ phase: 'decode', done, total }),
    });
    const orientations = describeOrientations(turned);
    const images = selectionOf(folder, 0, calibrationCount);
    await mkdir(dirname(writtenPath), { recursive: true });
    const compared = selectionOf(folder, calibrationCount, comparedCount);
    const { report, markdown } = await quantizeImages({
      ...options,
      ...shared,
      readModel,
      shownName: modelPath,
      quantizedPath: partialPath,
      images,
      compared:
        comparedCount === 0
          ? { whyNone: NONE_LEFT }
          : { ...compared, shown: 'the rest of the folder' },
      normalization,
      notes: [...(await unreadNotes(dataFolder)), ...(orientations === null ? [] : [orientations])],
      operatorTimes: 'measure',
      onProgress: (phase, done, total) =>
        options.onProgress?.({
          phase: phase === 'correct' ? 'correct biases' : phase,
          done,
          total,
        }),
    });
    const pair = { floatPath: modelPath, quantizedPath: partialPath };
    const timing = await timeModels(pair, images, signal);
    await rename(partialPath, writtenPath);
    const { calibrationImageCount, calibrationMethod } = report.settings;
    return {
      outputPath,
      ...report,
      ...timing,
      calibrationImageCount,
      calibrationMethod,
      comparedImageCount: comparedCount,
      reportMarkdown: markdown,
    };
  });
}

/** Images [first, first + count) of the packed folder. */
function selectionOf(folder: string, first: number, count: number): ImageSelection {
  return { folder, split: 'train', indices: Array.from({ length: count }, (_, i) => first + i) };
}

function inputSize(
  { size, modelPath }: QuantizeFolderOptions,
  signature: ClassifierSignature,
): { width: number; height: number } {
  const width = size ?? signature.width;
  const height = size ?? signature.height;
  if (width !== null && height !== null) return { width, height };
  throw new UsageError({
    code: 'quantize/size-needed',
    message: `${modelPath} takes images of any size`,
    hint: 'say with --size how many pixels a side the images shall have, such as --size 224',
  });
}
