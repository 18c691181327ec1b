import type { ReadModel } from '../onnx/reader.ts';
import type { ImageSelection } from '../workers/run-image-batches.ts';
import type { CalibrationTable } from './calibration-table.ts';
import { correctLayers } from './corrections/correct-layers.ts';
import type { BiasCorrection, Rounding } from './choices.ts';
import { withThreadsOf, type ImagePass } from './image-pass.ts';
import {
  applyPlan,
  planModel,
  type PlannedModel,
  type QuantizedModel,
  type QuantizeOptions,
} from './quantize-model.ts';

export interface QuantizeCalibratedOptions extends Omit<ImagePass, 'images'> {
  readonly readModel: ReadModel;
  readonly table: Pick<CalibrationTable, 'tensors' | 'equalization'>;
  readonly settings: Omit<QuantizeOptions, 'corrections' | 'weights'>;
  /** The calibration images; weights are rounded and biases corrected on them. Absent: neither. */
  readonly images?: ImageSelection;
  /** `adaptive` by default. */
  readonly rounding?: Rounding;
  /** `local` by default. */
  readonly biasCorrection?: BiasCorrection;
}

/** Quantizes a model and, given images, rounds its weights and corrects its biases on them. */
export async function quantizeCalibrated(
  options: QuantizeCalibratedOptions,
): Promise<QuantizedModel> {
  const {
    readModel,
    table,
    settings,
    images,
    rounding = 'adaptive',
    biasCorrection = 'local',
  } = options;
  if (images === undefined || (rounding === 'nearest' && biasCorrection === 'none')) {
    return applyPlan(await planRead(options), { readModel, table, options: settings });
  }
  // Threads start while the plan is made.
  const { planned, ...found } = await withThreadsOf(options, async (threads) => {
    const planned = await planRead(options);
    const { prepared: model, plan } = planned;
    const pass = { ...options, threads, model, plan, images, rounding, biasCorrection };
    return { planned, ...(await correctLayers(pass)) };
  });
  return applyPlan(planned, { readModel, table, options: { ...settings, ...found } });
}

/** A function of its own, so that nothing holds the model as it was read once this has ended. */
async function planRead({
  readModel,
  table,
  settings,
}: QuantizeCalibratedOptions): Promise<PlannedModel> {
  return planModel(await readModel(), table, settings);
}
