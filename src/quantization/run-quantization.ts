import type { Normalization } from '../data/image-shards.ts';
import type { ImageSelection } from '../workers/run-image-batches.ts';
import { meetAccuracyBudget, type MixedPrecision, type TradeStep } from './mixed-precision.ts';
import type { InputRounding, InputType, SENSITIVITIES } from './choices.ts';
import { inputFormFor } from './input-form.ts';
import { quantizeCalibrated, type QuantizeCalibratedOptions } from './quantize-calibrated.ts';
import type { QuantizedModel } from './quantize-model.ts';
import { returnOrder } from './return-order.ts';
import { measureSensitivity, type Sensitivity } from './sensitivity.ts';

/** Images with known classes that were not calibrated on. */
export interface LabelledImages extends ImageSelection {
  readonly labels: readonly number[];
}

export type QuantizationPhase = 'correct' | 'sensitivity' | 'mixed precision';

export interface RunQuantizationOptions extends Omit<QuantizeCalibratedOptions, 'onProgress'> {
  /** The float model's file. */
  readonly modelPath: string;
  /** What messages call it; its path by default. */
  readonly shownName?: string;
  readonly inputType: InputType;
  readonly inputRounding: InputRounding;
  /** How the float model wants its pixels; needed for input type uint8 and for rounding to pixels. */
  readonly normalization?: Normalization;
  /** A budget measures it too. */
  readonly sensitivity: (typeof SENSITIVITIES)[number];
  /** Most points of top-1 that may be lost on `labelled`; null: every layer is quantized. */
  readonly accuracyBudget: number | null;
  readonly labelled?: LabelledImages;
  /** What the model that is made shall say of itself, given the layers that a budget left in float. */
  readonly metadata?: (floatLayers: readonly string[]) => Readonly<Record<string, string>>;
  readonly onProgress?: (phase: QuantizationPhase, done: number, total: number) => void;
  readonly onTradeStep?: (step: TradeStep) => void;
}

export interface QuantizationRun {
  readonly quantized: QuantizedModel;
  readonly sensitivity: Sensitivity | null;
  readonly mixedPrecision: MixedPrecision | null;
}

/**
 * The whole way from ranges to an int8 model: corrections, the form of its input, the harm of each
 * layer, and layers back in float until an accuracy budget is met.
 */
export async function runQuantization(options: RunQuantizationOptions): Promise<QuantizationRun> {
  const { images, modelPath, onProgress, labelled, accuracyBudget, metadata } = options;
  const { shownName = modelPath } = options;
  const { finish: finishInput, ...form } = await inputFormFor({ ...options, shownName });
  const finish = (made: QuantizedModel, floatLayers: readonly string[]): QuantizedModel =>
    withMetadata(finishInput(made), metadata?.(floatLayers) ?? {});
  const quantized = await quantizeCalibrated({
    ...options,
    ...form,
    onProgress: (done, total) => onProgress?.('correct', done, total),
  });
  const isNeeded = options.sensitivity === 'layers' || accuracyBudget !== null;
  const sensitivity =
    isNeeded && images !== undefined
      ? await measureSensitivity({
          ...options,
          quantized,
          images,
          left: accuracyBudget === null ? 'none' : 'measure',
          onProgress: (done, total) => onProgress?.('sensitivity', done, total),
        })
      : null;
  if (accuracyBudget === null || sensitivity === null || labelled === undefined) {
    return { quantized: finish(quantized, []), sensitivity, mixedPrecision: null };
  }
  let stepCount = 0;
  const mixedPrecision = await meetAccuracyBudget({
    ...options,
    quantized,
    order: await returnOrder(quantized, sensitivity.layers),
    budgetPoints: accuracyBudget,
    floatPath: modelPath,
    images: labelled,
    labels: labelled.labels,
    finish,
    onStep: (step) => {
      stepCount += 1;
      options.onTradeStep?.(step);
      onProgress?.('mixed precision', stepCount, sensitivity.layers.length);
    },
  });
  return { quantized: mixedPrecision.quantized, sensitivity, mixedPrecision };
}

/** Adds to the model, which was just made. */
function withMetadata(
  quantized: QuantizedModel,
  entries: Readonly<Record<string, string>>,
): QuantizedModel {
  for (const [key, value] of Object.entries(entries)) {
    quantized.model.metadataProps.push({ $typeName: 'onnx.StringStringEntryProto', key, value });
  }
  return quantized;
}
