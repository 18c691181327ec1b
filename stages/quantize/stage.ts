import { writeFile } from 'node:fs/promises';
import { readImageShards, type ImageShards } from '../../src/data/image-shards.ts';
import { StageError } from '../../src/diagnostics/errors.ts';
import type { ClassifierSignature } from '../../src/onnx/model-signature.ts';
import { readClassifier } from '../../src/onnx/read-classifier.ts';
import { writeOnnx } from '../../src/onnx/writer.ts';
import {
  readCalibrationTable,
  shownMethod,
  type CalibrationTable,
} from '../../src/quantization/calibration-table.ts';
import { heldOutImages, type HeldOutImages } from '../../src/quantization/held-out-images.ts';
import {
  budgetWarning,
  EMBEDDED,
  reportQuantization,
  type ReportQuantizationOptions,
} from '../../src/quantization/report-quantization.ts';
import { requireNames } from '../../src/quantization/require-names.ts';
import { reportMetrics } from '../../src/quantization/report-metrics.ts';
import {
  runQuantization,
  type RunQuantizationOptions,
} from '../../src/quantization/run-quantization.ts';
import { locateSamples } from '../../src/quantization/select-samples.ts';
import { defineStage, type StageContext } from '../../src/stage/definition.ts';
import { saturationWarning } from '../../src/quantization/local-target.ts';
import { writeMetricsFile } from '../../src/stage/metrics-file.ts';
import type { ImageSelection } from '../../src/workers/run-image-batches.ts';
import { quantizeParameters, type QuantizeParameters } from './parameters.ts';

export const quantize = defineStage({
  kind: 'quantize',
  version: 25,
  description: 'Quantizes a calibrated float model to int8 in the form onnxruntime fuses.',
  parameters: quantizeParameters,
  inputs: {
    model: { kinds: ['model/onnx'], description: 'The float32 model that was calibrated.' },
    table: { kinds: ['calibration-table'], description: 'Ranges from the calibrate stage.' },
    images: {
      kinds: ['image-shards'],
      optional: true,
      description:
        'The images of the calibration; on them weights are rounded and biases corrected.',
    },
  },
  outputs: {
    model: { kind: 'model/onnx', description: 'QDQ: uint8 activations, int8 weights, int32 bias.' },
    report: {
      kind: 'metrics',
      description: 'Sizes, operators as onnxruntime runs them, what stayed float and why.',
    },
    summary: { kind: 'report', description: 'The same for people.' },
  },
  runtimes: ['onnxruntime-node'],
  cache: 'content',
  scheduling: 'parallel',
  defaultCpuCount: 2,
  isolation: 'in-process',
  inputsNeededBy: (parameters, written) =>
    imagesNeededBy(parameters, written).map((because) => ({ input: 'images', because })),
  async run(context) {
    const { inputs, outputs, parameters, scratchPath, signal } = context;
    const modelPath = inputs['model']!.path; // both are required, so the engine gives them
    const saturation = saturationWarning(parameters.target);
    if (saturation !== null) context.warn(saturation);
    const table = await readCalibrationTable(inputs['table']!.path);
    if (parameters.granularity === 'per-tensor' && table.equalization?.method === 'activations') {
      context.warn(ONE_SCALE);
    }
    const { readModel, signature } = await readClassifier(modelPath);
    await requireNames(readModel, { exclude: parameters.exclude }, (name) => `parameter "${name}"`);
    const images = await calibrationImages(context, table);
    requireLabels(parameters, images, signature, modelPath);
    const { exclude, rounding, biasCorrection, ...others } = parameters;
    const { inputType, inputRounding, sensitivity, accuracyBudget, operatorTimes, ...settings } =
      others;
    const run = await runQuantization({
      readModel,
      modelPath,
      table,
      inputType,
      inputRounding,
      sensitivity,
      accuracyBudget,
      rounding,
      biasCorrection,
      settings: { ...settings, excluded: new Set(exclude) },
      ...(images === null ? {} : imagesOf(images, signature)),
      metadata: (floatLayers) => ({
        'drq.quantization': JSON.stringify({
          ...settings,
          inputType,
          inputRounding,
          rounding: images === null ? 'nearest' : rounding,
          biasCorrection: images === null ? 'none' : biasCorrection,
          floatLayers,
        }),
        'drq.calibration': JSON.stringify({ method: table.method, count: table.samples.length }),
      }),
      workerCount: context.resources.cpuCount,
      scratchPath,
      signal,
      onProgress: (phase, done, total) =>
        context.progress({ done, total, unit: phase === 'mixed precision' ? 'layers' : 'images' }),
      onTradeStep: ({ floatLayerCount, dropPoints, latencyMs }) =>
        context.log(
          `${floatLayerCount} layers in float: drop ${dropPoints.toFixed(2)} points, ${latencyMs.toFixed(2)} ms`,
        ),
    });
    const { quantized } = run;
    const warning = budgetWarning(run.mixedPrecision);
    if (warning !== null) context.warn(warning);
    await writeOnnx(outputs['model']!, quantized.model);

    const { report, markdown } = await reportQuantization({
      run,
      floatPath: modelPath,
      quantizedPath: outputs['model']!,
      heldOut: comparedImages(images, signature),
      timedImages: operatorTimes === 'measure' ? (images?.calibration ?? null) : null,
      settings: {
        calibrationMethod: shownMethod(table),
        calibrationImageCount: table.samples.length,
        rounding: images === null ? 'nearest' : rounding,
        biasCorrection: images === null ? 'none' : biasCorrection,
        inputType,
      },
      plotPath: EMBEDDED,
      workerCount: context.resources.cpuCount,
      scratchPath,
      signal,
      onProgress: (done, total) => context.progress({ done, total, unit: 'images' }),
    });
    await writeMetricsFile(outputs['report']!, reportMetrics(report));
    await writeFile(outputs['summary']!, markdown);
  },
});

interface CalibrationImages {
  readonly shards: ImageShards;
  readonly calibration: ImageSelection;
  readonly heldOut: HeldOutImages | null;
}

/** The images the table was calibrated on and those it was not; null without the input. */
async function calibrationImages(
  context: StageContext<QuantizeParameters>,
  table: CalibrationTable,
): Promise<CalibrationImages | null> {
  const { inputs, parameters } = context;
  const images = inputs['images'];
  if (images === undefined) {
    requireNoImagesNeeded(parameters);
    const missed = [
      ...(parameters.rounding === 'nearest' ? [] : ['weights are rounded to the nearest']),
      ...(parameters.biasCorrection === 'none' ? [] : ['biases are not corrected']),
    ];
    if (missed.length > 0) {
      context.warn(`${missed.join(' and ')}: the stage has no input "images"`);
    }
    return null;
  }
  const shards = await readImageShards(images.path);
  const indices = locateSamples(shards, table.split, table.samples);
  const heldOut = heldOutImages(images.path, shards, table);
  if (parameters.accuracyBudget !== null && heldOut === null) {
    throw new StageError({
      code: 'quantize/no-validation-images',
      message: `accuracyBudget ${parameters.accuracyBudget} needs images that were not calibrated on; the validation split is empty and all of split ${table.split} was calibrated on`,
      hint: 'give the dataset a validation split, or lower the calibrate stage\'s "count"',
    });
  }
  return { shards, calibration: { folder: images.path, split: table.split, indices }, heldOut };
}

const ONE_SCALE =
  'granularity per-tensor: the calibration brought the channels of activations to like ranges, which one scale of all weights follows badly; set equalization to none or cross-layer in the calibrate stage';

/** What cannot be done without images and was asked for; of defaults, those that were written. */
function imagesNeededBy(parameters: QuantizeParameters, written: ReadonlySet<string>): string[] {
  const { rounding, biasCorrection, inputRounding } = parameters;
  return [
    ...(rounding === 'adaptive' && written.has('rounding') ? ['rounding adaptive'] : []),
    ...(biasCorrection === 'local' && written.has('biasCorrection')
      ? ['biasCorrection local']
      : []),
    ...(inputRounding === 'pixels' && written.has('inputRounding') ? ['inputRounding pixels'] : []),
    ...(parameters.inputType === 'uint8' ? ['inputType uint8'] : []),
    ...(parameters.sensitivity === 'layers' ? ['sensitivity layers'] : []),
    ...(parameters.accuracyBudget === null ? [] : [`accuracyBudget ${parameters.accuracyBudget}`]),
    ...(parameters.operatorTimes === 'measure' ? ['operatorTimes measure'] : []),
  ];
}

/** The engine tells it earlier, from `inputsNeededBy`, which knows what was written, too. */
function requireNoImagesNeeded(parameters: QuantizeParameters): void {
  const needing = imagesNeededBy(parameters, new Set());
  if (needing.length === 0) return;
  throw new StageError({
    code: 'quantize/images-needed',
    message: `${needing.join(', ')} needs the input "images", which the stage does not have`,
    hint: "add the images of the calibration to the stage's inputs",
  });
}

/** Labels count only where the model knows the dataset's classes. */
function isLabelled({ shards }: CalibrationImages, { classCount }: ClassifierSignature): boolean {
  return classCount === null || classCount === shards.classes.length;
}

function requireLabels(
  { accuracyBudget }: QuantizeParameters,
  images: CalibrationImages | null,
  signature: ClassifierSignature,
  modelPath: string,
): void {
  if (accuracyBudget === null || images === null || isLabelled(images, signature)) return;
  throw new StageError({
    code: 'quantize/class-count',
    message: `accuracyBudget ${accuracyBudget} needs labels: ${modelPath} scores ${signature.classCount} classes, the images have ${images.shards.classes.length}`,
    hint: 'give images of the classes the model was trained on, or leave accuracyBudget at null',
  });
}

function imagesOf(
  images: CalibrationImages,
  signature: ClassifierSignature,
): Pick<RunQuantizationOptions, 'images' | 'normalization' | 'labelled'> {
  const { shards, calibration, heldOut } = images;
  return {
    images: calibration,
    normalization: shards.normalization,
    ...(heldOut === null || !isLabelled(images, signature) ? {} : { labelled: heldOut.images }),
  };
}

function comparedImages(
  images: CalibrationImages | null,
  signature: ClassifierSignature,
): ReportQuantizationOptions['heldOut'] {
  if (images === null) return { whyNone: 'the stage has no input "images"' };
  if (images.heldOut === null) {
    return { whyNone: 'every image outside the test split was calibrated on' };
  }
  const { images: selection, shown } = images.heldOut;
  const { labels, ...others } = selection;
  return { ...others, shown, ...(isLabelled(images, signature) ? { labels } : {}) };
}
