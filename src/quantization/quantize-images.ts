import type { Normalization } from '../data/image-shards.ts';
import type { ReadModel } from '../onnx/reader.ts';
import { writeOnnx } from '../onnx/writer.ts';
import type { ImageSelection } from '../workers/run-image-batches.ts';
import { selectionNotes, shownMethod, type CalibrationTable } from './calibration-table.ts';
import {
  DEFAULT_PERCENTILE,
  withDefaults,
  type CalibrationMethod,
  type CorrectionChoices,
  type Granularity,
  type InputType,
  type Target,
} from './choices.ts';
import { equalizeAndCalibrate } from './equalize-and-calibrate.ts';
import { takesPixels } from './input-form.ts';
import { withThreadsOf, type ImagePass } from './image-pass.ts';
import { localTarget } from './local-target.ts';
import {
  EMBEDDED,
  reportQuantization,
  type ComparedImages,
  type ReportedQuantization,
} from './report-quantization.ts';
import { runQuantization, type QuantizationRun } from './run-quantization.ts';

/** What may be chosen of a quantization without a pipeline, from the command line or as a library. */
export interface QuantizationChoices extends CorrectionChoices {
  /** CPU the model is for; by default this one. */
  readonly target?: Target;
  /** `auto` by default: the method that keeps the outputs closest on held-out images. */
  readonly method?: CalibrationMethod;
  /** Share of values a range keeps, 50 to 100; only for `percentile` and as a candidate of `auto`; 99.999. */
  readonly percentile?: number;
  /** Of weights; `per-channel` by default. */
  readonly granularity?: Granularity;
  /** `uint8`: the int8 model takes pixels, not normalized values; of photographs only. */
  readonly inputType?: InputType;
  /** `layers`: the harm of each layer is measured, at a run of the float model a layer and image. */
  readonly sensitivity?: 'none' | 'layers';
  /** Names of nodes that shall stay float. */
  readonly exclude?: readonly string[];
}

export type ImagesPhase = 'calibrate' | 'correct' | 'sensitivity' | 'compare';

export interface QuantizeImagesOptions extends QuantizationChoices {
  readonly readModel: ReadModel;
  /** The float model's file, and what messages call it. */
  readonly modelPath: string;
  readonly shownName: string;
  /** Where the int8 model is written. */
  readonly quantizedPath: string;
  /** To calibrate and correct on. */
  readonly images: ImageSelection;
  readonly compared: ComparedImages;
  /** Of photographs; nothing is known of other inputs. */
  readonly normalization?: Normalization;
  /** What is to be told of the images. */
  readonly notes?: readonly string[];
  /** Instead of those that would be found here. */
  readonly ranges?: CalibrationTable['tensors'];
  readonly operatorTimes: 'none' | 'measure';
  readonly workerCount: number;
  readonly scratchPath: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (phase: ImagesPhase, done: number, total: number) => void;
  readonly log?: (line: string) => void;
}

export interface QuantizedImages extends Omit<ReportedQuantization, 'tradeSvg'> {
  readonly run: QuantizationRun;
  readonly ranges: CalibrationTable['tensors'];
}

/**
 * Calibrates, quantizes, writes the int8 model and reports how closely it follows the float one: what
 * the command and the library share once the images lie where worker threads find them.
 */
export async function quantizeImages(options: QuantizeImagesOptions): Promise<QuantizedImages> {
  const { images, quantizedPath, workerCount, scratchPath, signal } = options;
  const { rounding, biasCorrection } = withDefaults(options);
  const shared = { workerCount, scratchPath, ...(signal === undefined ? {} : { signal }) };
  // The same threads for both; they end before others compare the models.
  const { run, table } = await withThreadsOf({ ...shared, images }, (threads) =>
    calibrateAndQuantize(options, { ...shared, threads }),
  );
  const { calibrationMethod, tensors, notes } = table;
  await writeOnnx(quantizedPath, run.quantized.model);
  const { report, markdown } = await reportQuantization({
    ...shared,
    run,
    floatPath: options.modelPath,
    quantizedPath,
    heldOut: options.compared,
    timedImages: options.operatorTimes === 'measure' ? images : null,
    settings: {
      calibrationMethod,
      calibrationImageCount: images.indices.length,
      rounding,
      biasCorrection,
      inputType: takesPixels(run.quantized.model) ? 'uint8' : 'float32',
    },
    plotPath: EMBEDDED,
    notes: [...(options.notes ?? []), ...notes],
    onProgress: (done, total) => options.onProgress?.('compare', done, total),
  });
  return { run, ranges: tensors, report, markdown };
}

async function calibrateAndQuantize(
  options: QuantizeImagesOptions,
  shared: Pick<ImagePass, 'workerCount' | 'scratchPath' | 'signal' | 'threads'>,
): Promise<{ readonly run: QuantizationRun; readonly table: CalibratedTable }> {
  const { equalization, weightRange, ...corrections } = withDefaults(options);
  const table = await rangesOf({ ...options, ...shared }, equalization);
  options.log?.(`ranges by ${table.calibrationMethod}`);
  for (const note of table.notes) options.log?.(`note: ${note}`);
  const run = await runQuantization({
    ...shared,
    ...corrections,
    readModel: options.readModel,
    modelPath: options.modelPath,
    shownName: options.shownName,
    table,
    inputType: options.inputType ?? 'float32',
    ...(options.normalization === undefined ? {} : { normalization: options.normalization }),
    sensitivity: options.sensitivity ?? 'none',
    accuracyBudget: null,
    settings: {
      granularity: options.granularity ?? 'per-channel',
      weightRange,
      target: options.target ?? localTarget(),
      firstConvolution: 'pad',
      excluded: new Set(options.exclude ?? []),
    },
    images: options.images,
    onProgress: (phase, done, total) =>
      options.onProgress?.(phase === 'sensitivity' ? phase : 'correct', done, total),
  });
  return { run, table };
}

type CalibratedTable = Pick<CalibrationTable, 'tensors' | 'equalization'> & {
  /** As reports show it. */
  readonly calibrationMethod: string;
  /** What to tell of how they were chosen. */
  readonly notes: readonly string[];
};

async function rangesOf(
  options: QuantizeImagesOptions & Pick<ImagePass, 'threads'>,
  equalization: Required<CorrectionChoices>['equalization'],
): Promise<CalibratedTable> {
  const { ranges, method = 'auto', percentile = DEFAULT_PERCENTILE } = options;
  if (ranges !== undefined) return { tensors: ranges, calibrationMethod: 'given', notes: [] };
  const { selection, ...table } = await equalizeAndCalibrate({
    ...options,
    method,
    equalization,
    percentile,
    granularity: options.granularity ?? 'per-channel',
    seed: 0,
    batchSize: 1,
    onProgress: (done, total) => options.onProgress?.('calibrate', done, total),
  });
  return {
    ...table,
    calibrationMethod: shownMethod({ method, ...(selection === undefined ? {} : { selection }) }),
    notes: selectionNotes(selection),
  };
}
