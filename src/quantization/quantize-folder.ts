import { availableParallelism, tmpdir } from 'node:os';
import { mkdir, mkdtemp, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DataError, UsageError } from '../diagnostics/errors.ts';
import { evenlySpaced } from '../numeric/evenly-spaced.ts';
import { listImageFiles } from '../data/list-image-files.ts';
import type { ClassifierSignature } from '../onnx/model-signature.ts';
import { readClassifier } from '../onnx/read-classifier.ts';
import { writeOnnx } from '../onnx/writer.ts';
import { openOnnxSession } from '../runtime/onnx-session.ts';
import type { ImageSelection } from '../workers/run-image-batches.ts';
import { shownMethod } from './calibration-table.ts';
import { timeModels, type Timing } from './compare-models.ts';
import { equalizeAndCalibrate } from './equalize-and-calibrate.ts';
import type { Fidelity } from './fidelity.ts';
import type { FloatNode } from './mark-graph.ts';
import type { OperatorTime } from './operator-times.ts';
import { normalizationOf, type NormalizationChoice } from './normalization-choice.ts';
import { packImages } from './pack-images.ts';
import type { Target } from './choices.ts';
import { localTarget } from './local-target.ts';
import { EMBEDDED, reportQuantization } from './report-quantization.ts';
import { requireModelFile } from './require-model-file.ts';
import { requireImageModel } from './require-image-model.ts';
import { runQuantization } from './run-quantization.ts';
import type { Sensitivity } from './sensitivity.ts';
import {
  withDefaults,
  type CalibrationMethod,
  type CorrectionChoices,
  type InputType,
} from './choices.ts';

export type { Preset } from './normalization-choice.ts';

export interface FolderProgress {
  readonly phase: 'decode' | 'calibrate' | 'correct biases' | 'sensitivity' | 'compare';
  readonly done: number;
  readonly total: number;
}

export interface QuantizeFolderOptions extends NormalizationChoice, CorrectionChoices {
  readonly modelPath: string;
  /** Searched for photographs at any depth. */
  readonly dataFolder: string;
  readonly outputPath: string;
  /** Calibration images. */
  readonly count?: number;
  /** Side of the square input in pixels; needed only where the model leaves it open. */
  readonly size?: number;
  /** `vnni` by default. */
  readonly target?: Target;
  /** `auto` by default. */
  readonly method?: CalibrationMethod;
  /** `uint8`: the int8 model takes pixels, not normalized values. */
  readonly inputType?: InputType;
  readonly sensitivity?: 'none' | 'layers';
  readonly workerCount?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: FolderProgress) => void;
  readonly log?: (line: string) => void;
}

export interface QuantizeFolderResult extends Timing {
  readonly outputPath: string;
  readonly floatSizeBytes: number;
  readonly sizeBytes: number;
  readonly sizeRatio: number;
  readonly calibrationImageCount: number;
  /** How the ranges of activations were chosen, such as `auto (mse)`. */
  readonly calibrationMethod: string;
  readonly comparedImageCount: number;
  /** Null when every image was needed for calibration. */
  readonly fidelity: Fidelity | null;
  readonly operators: Readonly<Record<string, number>>;
  /** Where the time goes, the costliest first. */
  readonly operatorTimes: readonly OperatorTime[];
  readonly floatNodes: readonly FloatNode[];
  readonly sensitivity: Sensitivity | null;
  /** The whole report for people. */
  readonly reportMarkdown: string;
}

const DEFAULT_COUNT = 128;
/** That of onnxruntime's PercentileCalibrater. */
const DEFAULT_PERCENTILE = 99.999;
/** Enough for a steady figure; more would only take time. */
const MAX_COMPARED_COUNT = 512;
/** Kept for the comparison where a folder holds fewer images than are wanted for calibration. */
const HELD_OUT_FRACTION = 0.2;

/**
 * Quantizes a model with nothing but a folder of photographs: every k-th of them in sorted order
 * calibrates and corrects biases, others measure how closely the result follows the float model. The
 * output appears complete or not at all.
 */
export async function quantizeFolder(
  options: QuantizeFolderOptions,
): Promise<QuantizeFolderResult> {
  const { modelPath, outputPath, log, signal, method = 'auto' } = options;
  await checkPaths(modelPath, outputPath);
  const { readModel, signature } = await readClassifier(modelPath);
  const normalization = normalizationOf(options, await readModel());
  const size = inputSize(options, signature);
  requireImageModel(signature, modelPath, size);
  const { equalization, weightRange, ...corrections } = withDefaults(options);
  // What onnxruntime cannot run is told before thousands of photographs are decoded.
  await (await openOnnxSession(modelPath, { threadCount: 1 })).release();
  const files = splitFiles(await findPhotographs(options.dataFolder), options.count);
  const calibrationCount = files.calibration.length;
  const comparedCount = files.compared.length;
  log?.(`calibrating on ${calibrationCount} images, comparing on ${comparedCount} others`);
  const folder = await mkdtemp(join(tmpdir(), 'drq-quantize-'));
  const partialPath = `${outputPath}.${process.pid}.partial`;
  try {
    const shared = {
      workerCount: options.workerCount ?? availableParallelism(),
      scratchPath: folder,
      ...(signal === undefined ? {} : { signal }),
    };
    const progressOf = (phase: FolderProgress['phase']) => ({
      onProgress: (done: number, total: number) => options.onProgress?.({ phase, done, total }),
    });
    await packImages({
      files: [...files.calibration, ...files.compared],
      folder,
      ...size,
      normalization,
      ...shared,
      ...progressOf('decode'),
    });
    const images = selectionOf(folder, 0, calibrationCount);
    const { selection, ...table } = await equalizeAndCalibrate({
      readModel,
      images,
      method,
      equalization,
      seed: 0,
      percentile: DEFAULT_PERCENTILE,
      batchSize: 1,
      ...shared,
      ...progressOf('calibrate'),
    });
    const calibrationMethod = shownMethod({
      method,
      ...(selection === undefined ? {} : { selection }),
    });
    log?.(`ranges by ${calibrationMethod}`);
    const run = await runQuantization({
      readModel,
      modelPath,
      table,
      inputType: options.inputType ?? 'float32',
      normalization,
      sensitivity: options.sensitivity ?? 'none',
      ...corrections,
      accuracyBudget: null,
      settings: {
        granularity: 'per-channel',
        weightRange,
        target: options.target ?? localTarget(),
        firstConvolution: 'pad',
      },
      images,
      batchSize: 1,
      ...shared,
      onProgress: (phase, done, total) =>
        options.onProgress?.({
          phase: phase === 'sensitivity' ? phase : 'correct biases',
          done,
          total,
        }),
    });
    await mkdir(dirname(outputPath), { recursive: true });
    await writeOnnx(partialPath, run.quantized.model);

    const pair = { floatPath: modelPath, quantizedPath: partialPath };
    const compared = selectionOf(folder, calibrationCount, comparedCount);
    const report = await reportQuantization({
      run,
      ...pair,
      heldOut: comparedCount === 0 ? null : { ...compared, shown: 'the rest of the folder' },
      timedImages: images,
      biasCorrection: corrections.biasCorrection,
      plotPath: EMBEDDED,
      ...shared,
      ...progressOf('compare'),
    });
    const timing = await timeModels(pair, images, signal);
    const floatSizeBytes = (await stat(modelPath)).size;
    const sizeBytes = (await stat(partialPath)).size;
    await rename(partialPath, outputPath);
    return {
      outputPath,
      floatSizeBytes,
      sizeBytes,
      sizeRatio: floatSizeBytes / sizeBytes,
      calibrationImageCount: calibrationCount,
      calibrationMethod,
      comparedImageCount: comparedCount,
      fidelity: report.fidelity,
      ...timing,
      operators: report.optimized.operators,
      operatorTimes: report.operatorTimes ?? [],
      floatNodes: report.optimized.floatNodes,
      sensitivity: run.sensitivity,
      reportMarkdown: report.markdown,
    };
  } finally {
    await rm(partialPath, { force: true });
    await rm(folder, { recursive: true, force: true });
  }
}

/** Images [first, first + count) of the packed folder. */
function selectionOf(folder: string, first: number, count: number): ImageSelection {
  return { folder, split: 'train', indices: Array.from({ length: count }, (_, i) => first + i) };
}

async function checkPaths(modelPath: string, outputPath: string): Promise<void> {
  await requireModelFile(modelPath);
  const resolved = await Promise.all(
    [modelPath, outputPath].map((path) => realpath(path).catch(() => null)), // null: not there
  );
  const found = await stat(outputPath).catch(() => null); // null: not there, as most outputs
  if (found?.isDirectory() === true) {
    throw new UsageError({
      code: 'quantize/folder-given',
      message: `the output ${outputPath} is a folder`,
      hint: 'give the path of an ONNX file',
    });
  }
  if (resolved[0] !== resolved[1]) return;
  throw new UsageError({
    code: 'quantize/overwrites-input',
    message: `the output ${outputPath} is the model to quantize itself`,
    hint: 'give another path with --output',
  });
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

/** Paths of all photographs below `folder`, in natural order. */
async function findPhotographs(folder: string): Promise<string[]> {
  const files = await listImageFiles(folder);
  if (files.length > 0) return files.map((file) => join(folder, file));
  throw new DataError({
    code: 'quantize/no-photographs',
    message: `${folder} holds no photographs`,
    hint: 'give a folder with photographs like those the model will see',
  });
}

/** Evenly spaced files for calibration; of the others, evenly spaced ones for the comparison. */
function splitFiles(
  files: readonly string[],
  wanted = DEFAULT_COUNT,
): { calibration: readonly string[]; compared: readonly string[] } {
  const most = Math.max(1, files.length - Math.ceil(files.length * HELD_OUT_FRACTION));
  const calibration = evenlySpaced(files, Math.min(wanted, most));
  const chosen = new Set(calibration);
  const others = files.filter((file) => !chosen.has(file));
  return { calibration, compared: evenlySpaced(others, MAX_COMPARED_COUNT) };
}
