import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { UsageError } from '../diagnostics/errors.ts';
import type { OnnxModel } from '../onnx/model.ts';
import { checkClassifier, readClassifier } from '../onnx/read-classifier.ts';
import { writeOnnx } from '../onnx/writer.ts';
import type { CalibrationTable } from './calibration-table.ts';
import { equalizeAndCalibrate } from './equalize-and-calibrate.ts';
import { DEFAULT_PERCENTILE } from './choices.ts';
import { prepareCalibration, prepareComparison, type ImagesPlace } from './library-images.ts';
import {
  parseCalibrateOptions,
  parseModel,
  parseQuantizeOptions,
  type CalibrateModelOptions,
  type QuantizeModelOptions,
} from './library-options.ts';
import type { FloatNode } from './mark-graph.ts';
import type { QuantizationReport } from './quantization-report.ts';
import { quantizeImages } from './quantize-images.ts';
import { requireImageModel } from './require-image-model.ts';
import { requireModelFile } from './require-model-file.ts';
import { requireNames } from './require-names.ts';
import { requireRunnable } from './require-runnable.ts';
import { resolveFolder } from './resolve-folder.ts';
import { makeTemporaryFolder, withRemoval } from './temporary.ts';

export interface LibraryQuantization {
  readonly model: OnnxModel;
  /** Range of every activation of the network as it was quantized, its channels equalized. */
  readonly ranges: CalibrationTable['tensors'];
  readonly quantizedLayerCount: number;
  /** Nodes of the optimised graph that stayed float, and why; the report's own. */
  readonly floatNodes: readonly FloatNode[];
  /** What was done, and how closely the result follows the float model; plain data. */
  readonly report: QuantizationReport;
  /** The same for people. */
  readonly reportMarkdown: string;
}

/** The range of every activation of a float model (a path or a read model) over the images. */
export async function calibrateModel(
  model: OnnxModel | string,
  given: CalibrateModelOptions,
): Promise<CalibrationTable['tensors']> {
  const parsed = parseCalibrateOptions(given);
  const options = { ...parsed, images: resolveFolder(parsed.images) };
  const { method = 'auto', percentile = DEFAULT_PERCENTILE, onProgress } = options;
  return withModel(model, options, async ({ shared, ...place }) => {
    const { images } = await prepareCalibration(options, { ...place, ...shared });
    const { tensors } = await equalizeAndCalibrate({
      ...shared,
      readModel: place.readModel,
      images,
      method,
      percentile,
      equalization: 'none',
      seed: 0,
      batchSize: 1,
      onProgress: (done, total) => onProgress?.({ phase: 'calibrate', done, total }),
    });
    return tensors;
  });
}

/**
 * The int8 form of a float classifier (a path or a read model): calibrated on the images, its weights
 * rounded and its biases corrected on them, and compared with the float model, which is left as it was,
 * on others.
 */
export async function quantizeModel(
  model: OnnxModel | string,
  given: QuantizeModelOptions,
): Promise<LibraryQuantization> {
  const { compare, ...parsed } = parseQuantizeOptions(given);
  const options = {
    ...parsed,
    images: resolveFolder(parsed.images),
    ...(compare === undefined ? {} : { compare: resolveFolder(compare) }),
  };
  return withModel(model, options, async ({ shared, modelPath, ...place }) => {
    await requireNames(place.readModel, options, (name) => `quantizeModel: the option "${name}"`);
    const { run, ranges, report, markdown } = await quantizeImages({
      ...options,
      ...(await prepareComparison(options, { ...place, ...shared })),
      ...shared,
      readModel: place.readModel,
      modelPath,
      shownName: place.shownName,
      quantizedPath: join(shared.scratchPath, 'int8.onnx'),
      operatorTimes: 'none',
      onProgress: (phase, done, total) => options.onProgress?.({ phase, done, total }),
    });
    return {
      model: run.quantized.model,
      ranges,
      quantizedLayerCount: report.layers.length,
      floatNodes: report.floatNodes,
      report,
      reportMarkdown: markdown,
    };
  });
}

interface Opened extends Omit<ImagesPlace, 'scratchPath'> {
  /** A file of the model. */
  readonly modelPath: string;
  readonly shared: {
    readonly workerCount: number;
    readonly scratchPath: string;
    readonly signal?: AbortSignal;
  };
}

/**
 * Reads the model, gives a folder to work in, and clears up afterwards. Paths are made absolute before
 * anything is waited for: callers may move to another working folder meanwhile.
 */
async function withModel<T>(
  given: OnnxModel | string,
  options: CalibrateModelOptions,
  use: (opened: Opened) => Promise<T>,
): Promise<T> {
  const parsed = parseModel(given);
  const shownName = typeof parsed === 'string' ? parsed : 'the model';
  const model = typeof parsed === 'string' ? resolve(parsed) : parsed;
  const { signature, readModel } = await openClassifier(model, shownName);
  const height = options.size ?? signature.height;
  const width = options.size ?? signature.width;
  if (height === null || width === null) throw sizeNeeded(shownName);
  requireImageModel(signature, shownName, { height, width });
  const { signal } = options;
  const scratchPath = makeTemporaryFolder('drq-library-');
  return withRemoval([scratchPath], async () => {
    const modelPath = typeof model === 'string' ? model : await written(model, scratchPath);
    await requireRunnable(modelPath, signature, { width, height, shownName });
    return use({
      readModel,
      modelPath,
      shownName,
      inputLayout: signature.inputLayout,
      height,
      width,
      shared: {
        workerCount: options.workerCount ?? availableParallelism(),
        scratchPath,
        ...(signal === undefined ? {} : { signal }),
      },
    });
  });
}

async function openClassifier(
  model: OnnxModel | string,
  shownName: string,
): ReturnType<typeof readClassifier> {
  if (typeof model === 'string') {
    await requireModelFile(model, shownName);
    return readClassifier(model, shownName);
  }
  return {
    signature: checkClassifier(model, shownName),
    readModel: () => Promise.resolve(model),
  };
}

/** Worker threads open models by their path. */
async function written(model: OnnxModel, scratchPath: string): Promise<string> {
  const path = join(scratchPath, 'float.onnx');
  await writeOnnx(path, model);
  return path;
}

function sizeNeeded(shownName: string): UsageError {
  return new UsageError({
    code: 'quantize/size-needed',
    message: `${shownName} takes images of any size`,
    hint: 'give the option "size", such as size: 224',
  });
}
