import { graphOf, type OnnxModel } from '../onnx/model.ts';
import type { ImageSelection } from '../workers/run-image-batches.ts';
import type { CalibrationTable } from './calibration-table.ts';
import { roundAdaptively } from './corrections/adaptive-rounding.ts';
import { correctBiases } from './corrections/bias-correction.ts';
import { prepareCalibrated } from './prepare-calibrated.ts';
import { planQuantization } from './quantization-plan.ts';
import {
  quantizeModel,
  schemeOf,
  withWeights,
  type QuantizedModel,
  type QuantizeOptions,
} from './quantize-model.ts';

export interface QuantizeCalibratedOptions {
  readonly model: OnnxModel;
  readonly table: Pick<CalibrationTable, 'tensors' | 'equalization'>;
  readonly settings: Omit<QuantizeOptions, 'corrections' | 'weights'>;
  /** The calibration images; weights are rounded and biases corrected on them. Absent: neither. */
  readonly images?: ImageSelection;
  /** `adaptive` by default. */
  readonly rounding?: Rounding;
  /** `local` by default. */
  readonly biasCorrection?: BiasCorrection;
  readonly batchSize: number;
  readonly workerCount: number;
  readonly scratchPath: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

export const ROUNDINGS = ['adaptive', 'nearest'] as const;
export type Rounding = (typeof ROUNDINGS)[number];
export const BIAS_CORRECTIONS = ['local', 'none'] as const;
export type BiasCorrection = (typeof BIAS_CORRECTIONS)[number];

/** Quantizes a model and, given images, rounds its weights and corrects its biases on them. */
export async function quantizeCalibrated(
  options: QuantizeCalibratedOptions,
): Promise<QuantizedModel> {
  const {
    model,
    table,
    settings,
    images,
    rounding = 'adaptive',
    biasCorrection = 'local',
  } = options;
  if (images === undefined || (rounding === 'nearest' && biasCorrection === 'none')) {
    return quantizeModel(model, table, settings);
  }
  const prepared = prepareCalibrated(model, table);
  const scheme = schemeOf(settings);
  const plan = planQuantization(graphOf(prepared), table, scheme, settings.excluded);
  const shared = { ...options, model: prepared, images };
  const passCount = Number(rounding === 'adaptive') + Number(biasCorrection === 'local');
  let pass = 0;
  // One count over all passes: what listens must not see a bar start again.
  const passProgress = () => {
    const before = pass;
    pass += 1;
    const onProgress = (done: number, total: number): void =>
      options.onProgress?.(before * total + done, passCount * total);
    return { onProgress };
  };
  const weights =
    rounding === 'adaptive'
      ? await roundAdaptively({
          ...shared,
          plan,
          limit: scheme.limit,
          meanError: biasCorrection === 'local' ? 'corrected' : 'kept',
          ...passProgress(),
        })
      : undefined;
  const rounded = withWeights(plan, weights);
  const corrections =
    biasCorrection === 'local'
      ? await correctBiases({ ...shared, plan: rounded, ...passProgress() })
      : undefined;
  return quantizeModel(model, table, {
    ...settings,
    ...(weights === undefined ? {} : { weights }),
    ...(corrections === undefined ? {} : { corrections }),
  });
}
