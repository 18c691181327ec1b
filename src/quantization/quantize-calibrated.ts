import { graphOf, type OnnxModel } from '../onnx/model.ts';
import type { ImageSelection } from '../workers/run-image-batches.ts';
import type { CalibrationTable } from './calibration-table.ts';
import { correctBiases } from './corrections/bias-correction.ts';
import { prepareModel } from './prepare-model.ts';
import { planQuantization } from './quantization-plan.ts';
import {
  quantizeModel,
  schemeOf,
  type QuantizedModel,
  type QuantizeOptions,
} from './quantize-model.ts';

export interface QuantizeCalibratedOptions {
  readonly model: OnnxModel;
  readonly table: Pick<CalibrationTable, 'tensors'>;
  readonly settings: Omit<QuantizeOptions, 'corrections'>;
  /** The calibration images; biases are corrected on them. Absent: no correction. */
  readonly images?: ImageSelection;
  readonly batchSize: number;
  readonly workerCount: number;
  readonly scratchPath: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Quantizes a model and, given images, corrects its biases by local bias correction. */
export async function quantizeCalibrated(
  options: QuantizeCalibratedOptions,
): Promise<QuantizedModel> {
  const { model, table, settings, images } = options;
  if (images === undefined) return quantizeModel(model, table, settings);
  const prepared = prepareModel(model);
  const plan = planQuantization(graphOf(prepared), table, schemeOf(settings), settings.excluded);
  const corrections = await correctBiases({ ...options, model: prepared, plan, images });
  return quantizeModel(model, table, { ...settings, corrections });
}
