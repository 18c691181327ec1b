import { graphOf, type OnnxModel } from '../onnx/model.ts';
import type { CalibrationTable } from './calibration-table.ts';
import { insertQdq, type BiasCorrections } from './insert-qdq.ts';
import { padInputChannels } from './pad-input-channels.ts';
import { prepareModel } from './prepare-model.ts';
import { planQuantization, type QuantizationPlan } from './quantization-plan.ts';
import type { Granularity, WeightRange, WeightScheme } from './weights.ts';

export const TARGETS = ['vnni', 'avx2', 'portable'] as const;
export type Target = (typeof TARGETS)[number];

export interface QuantizeOptions {
  readonly granularity: Granularity;
  readonly weightRange: WeightRange;
  readonly target: Target;
  /** `pad`: convolutions over three channels get a fourth; same outputs, a faster kernel. */
  readonly firstConvolution: 'pad' | 'keep';
  /** Names of nodes that shall stay float. */
  readonly excluded?: ReadonlySet<string>;
  /** From `correctBiases`. */
  readonly corrections?: BiasCorrections;
}

export interface QuantizedModel {
  readonly model: OnnxModel;
  readonly plan: QuantizationPlan;
}

/** The int8 form of a float model, as QDQ; pure: `model` is unchanged. */
export function quantizeModel(
  model: OnnxModel,
  table: Pick<CalibrationTable, 'tensors'>,
  options: QuantizeOptions,
): QuantizedModel {
  const prepared = prepareModel(model);
  const plan = planQuantization(graphOf(prepared), table, schemeOf(options), options.excluded);
  insertQdq(prepared, plan, options.corrections);
  if (options.firstConvolution === 'pad') padInputChannels(prepared);
  return { model: prepared, plan };
}

/**
 * AVX2 without VNNI adds two products of uint8 and int8 in 16 bits and saturates: 2 * 255 * 64 fits
 * there, 2 * 255 * 127 does not.
 */
export function schemeOf(
  options: Pick<QuantizeOptions, 'granularity' | 'weightRange' | 'target'>,
): WeightScheme {
  return {
    granularity: options.granularity,
    range: options.weightRange,
    limit: options.target === 'vnni' ? 127 : 64,
  };
}
