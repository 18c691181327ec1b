import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { listImageFiles } from '../data/list-image-files.ts';
import type { Normalization } from '../data/image-shards.ts';
import { writeTensorShards } from '../data/tensor-shards.ts';
import { DataError, UsageError } from '../diagnostics/errors.ts';
import { checkModel } from '../onnx/check.ts';
import { classifierSignature } from '../onnx/model-signature.ts';
import type { OnnxModel } from '../onnx/model.ts';
import { readClassifier } from '../onnx/read-classifier.ts';
import type { ReadModel } from '../onnx/reader.ts';
import type { ImageSelection } from '../workers/run-image-batches.ts';
import { equalizeAndCalibrate, type Calibration } from './equalize-and-calibrate.ts';
import type { CalibrationTable } from './calibration-table.ts';
import { inputFormFor } from './input-form.ts';
import type { FloatNode } from './mark-graph.ts';
import { normalizationOf } from './normalization-choice.ts';
import { packImages, type PackOptions } from './pack-images.ts';
import { quantizeCalibrated } from './quantize-calibrated.ts';
import { localTarget } from './local-target.ts';
import { withDefaults, type EqualizationChoice } from './choices.ts';
import {
  parseCalibrateOptions,
  parseModel,
  parseQuantizeOptions,
  type CalibrateModelOptions,
  type InputTensors,
  type QuantizeModelOptions,
} from './library-options.ts';
import { requireModelFile } from './require-model-file.ts';

export interface LibraryQuantization {
  readonly model: OnnxModel;
  /** Range of every activation of the network as it was quantized, its channels equalized. */
  readonly ranges: CalibrationTable['tensors'];
  readonly quantizedLayerCount: number;
  /** Nodes that stayed float, and why. */
  readonly floatNodes: readonly FloatNode[];
}

/** The range of every activation of a float model (a path or a read model) over the images. */
export async function calibrateModel(
  model: OnnxModel | string,
  given: CalibrateModelOptions,
): Promise<CalibrationTable['tensors']> {
  const options = parseCalibrateOptions(given);
  return withImages(parseModel(model), options, async ({ readModel, shared }) => {
    return (await calibrateInside(readModel, options, shared, 'none')).tensors;
  });
}

/**
 * The int8 form of a float classifier (a path or a read model): calibrated on the images, its weights
 * rounded and its biases corrected on them. The float model is left as it was.
 */
export async function quantizeModel(
  model: OnnxModel | string,
  given: QuantizeModelOptions,
): Promise<LibraryQuantization> {
  const options = parseQuantizeOptions(given);
  const { equalization, weightRange, inputRounding, ...corrections } = withDefaults(options);
  return withImages(parseModel(model), options, async ({ readModel, shared, ...images }) => {
    const table =
      options.ranges === undefined
        ? await calibrateInside(readModel, options, shared, equalization)
        : { tensors: options.ranges };
    const { finish, ...form } = await inputFormFor({
      ...images,
      readModel,
      table,
      settings: {
        granularity: options.granularity ?? 'per-channel',
        weightRange,
        target: options.target ?? localTarget(),
        firstConvolution: 'pad',
        excluded: new Set(options.exclude ?? []),
      },
      inputType: options.inputType ?? 'float32',
      inputRounding,
      shownName: 'the model',
    });
    const corrected = await quantizeCalibrated({
      ...shared,
      ...form,
      ...corrections,
      onProgress: (done, total) => options.onProgress?.({ phase: 'correct', done, total }),
    });
    const quantized = finish(corrected);
    return {
      model: quantized.model,
      ranges: table.tensors,
      quantizedLayerCount: quantized.plan.layers.length,
      floatNodes: quantized.plan.floatNodes,
    };
  });
}

/** That of onnxruntime's PercentileCalibrater. */
const DEFAULT_PERCENTILE = 99.999;

interface SharedOptions {
  readonly images: ImageSelection;
  readonly batchSize: number;
  readonly workerCount: number;
  readonly scratchPath: string;
  readonly signal?: AbortSignal;
}

function calibrateInside(
  readModel: ReadModel,
  { method = 'auto', percentile = DEFAULT_PERCENTILE, onProgress }: CalibrateModelOptions,
  shared: SharedOptions,
  equalization: EqualizationChoice,
): Promise<Calibration> {
  return equalizeAndCalibrate({
    ...shared,
    readModel,
    method,
    equalization,
    seed: 0,
    percentile,
    onProgress: (done, total) => onProgress?.({ phase: 'calibrate', done, total }),
  });
}

interface PreparedImages {
  readonly readModel: ReadModel;
  readonly shared: SharedOptions;
  /** Of photographs; nothing is known of tensors. */
  readonly normalization?: Normalization;
}

/** Reads the model, puts the images where workers find them, and clears up afterwards. */
async function withImages<T>(
  model: OnnxModel | string,
  options: CalibrateModelOptions,
  use: (prepared: PreparedImages) => Promise<T>,
): Promise<T> {
  const shownName = typeof model === 'string' ? model : 'the model';
  const { signature, readModel } = await openClassifier(model, shownName);
  const height = options.size ?? signature.height;
  const width = options.size ?? signature.width;
  if (height === null || width === null) {
    throw new UsageError({
      code: 'quantize/size-needed',
      message: `${shownName} takes images of any size`,
      hint: 'give the option "size", such as size: 224',
    });
  }
  const scratchPath = await mkdtemp(join(tmpdir(), 'drq-library-'));
  try {
    const { signal, images, onProgress } = options;
    const normalization =
      'folder' in images ? normalizationOf(images, await readModel()) : undefined;
    const count =
      'folder' in images
        ? await packFolder(
            images.folder,
            { height, width, scratchPath, normalization: normalization! },
            options,
          )
        : (
            await writeTensorShards(
              scratchPath,
              signature.inputLayout === 'nchw' ? [3, height, width] : [height, width, 3],
              counted(images, (done) => onProgress?.({ phase: 'read', done, total: null })),
            )
          ).count;
    if (count === 0) throw noImages();
    const shared: SharedOptions = {
      images: {
        folder: scratchPath,
        split: 'train',
        indices: Array.from({ length: count }, (_, i) => i),
      },
      batchSize: 1,
      workerCount: options.workerCount ?? availableParallelism(),
      scratchPath,
      ...(signal === undefined ? {} : { signal }),
    };
    return await use({
      readModel,
      shared,
      ...(normalization === undefined ? {} : { normalization }),
    });
  } finally {
    await rm(scratchPath, { recursive: true, force: true });
  }
}

async function openClassifier(
  model: OnnxModel | string,
  shownName: string,
): ReturnType<typeof readClassifier> {
  if (typeof model === 'string') {
    await requireModelFile(model);
    return readClassifier(model);
  }
  checkModel(model, shownName);
  return {
    signature: classifierSignature(model, shownName),
    readModel: () => Promise.resolve(model),
  };
}

async function* counted(
  images: InputTensors,
  onCount: (done: number) => void,
): AsyncGenerator<Float32Array> {
  let done = 0;
  for await (const image of images) {
    yield image;
    done += 1;
    onCount(done);
  }
}

async function packFolder(
  folder: string,
  {
    scratchPath,
    ...target
  }: Pick<PackOptions, 'height' | 'width' | 'normalization'> & {
    readonly scratchPath: string;
  },
  { signal, onProgress }: CalibrateModelOptions,
): Promise<number> {
  const files = (await listImageFiles(folder)).map((file) => join(folder, file));
  await packImages({
    files,
    folder: scratchPath,
    ...target,
    ...(signal === undefined ? {} : { signal }),
    onProgress: (done, total) => onProgress?.({ phase: 'read', done, total }),
  });
  return files.length;
}

function noImages(): DataError {
  return new DataError({
    code: 'quantize/no-photographs',
    message: 'there is no image to calibrate on',
    hint: 'give images like those the model will see, a hundred or so',
  });
}
