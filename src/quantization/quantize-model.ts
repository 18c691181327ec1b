import { InternalError } from '../diagnostics/errors.ts';
import { graphOf, type OnnxGraph, type OnnxModel } from '../onnx/model.ts';
import type { ReadModel } from '../onnx/reader.ts';
import { viewFloats } from '../onnx/tensor-data.ts';
import type { CalibrationTable } from './calibration-table.ts';
import { insertQdq, type BiasCorrections } from './insert-qdq.ts';
import { padInputChannels } from './pad-input-channels.ts';
import { poolByConvolution } from './pool-by-convolution.ts';
import type { Granularity, Target, WeightRange } from './choices.ts';
import { LARGEST_PAIR_SUM } from './code-bounds.ts';
import { worstPairSum } from './pair-sums.ts';
import { prepareCalibrated } from './prepare-calibrated.ts';
import {
  planQuantization,
  type PlanScheme,
  type QuantizationPlan,
  type QuantizedLayer,
} from './quantization-plan.ts';
import { nearestWeight, type QuantizedWeight } from './weights.ts';

export interface QuantizeOptions {
  readonly granularity: Granularity;
  readonly weightRange: WeightRange;
  readonly target: Target;
  /** `pad`: convolutions over three channels get a fourth; same outputs, a faster kernel. */
  readonly firstConvolution: 'pad' | 'keep';
  /** Names of nodes that shall stay float. */
  readonly excluded?: ReadonlySet<string>;
  /** From `correctLayers`. */
  readonly corrections?: BiasCorrections;
  /** From `correctLayers`, by the layer's output tensor: instead of the nearest codes. */
  readonly weights?: ReadonlyMap<string, QuantizedWeight>;
}

export interface QuantizedModel {
  readonly model: OnnxModel;
  readonly plan: QuantizationPlan<QuantizedLayer>;
  /** What it was made of, for making it again with other nodes in float. */
  readonly source: {
    readonly readModel: ReadModel;
    readonly table: Pick<CalibrationTable, 'tensors' | 'equalization'>;
    readonly options: QuantizeOptions;
  };
}

/** The int8 form of a float model, as QDQ; pure: `model` is unchanged. */
export function quantizeModel(
  model: OnnxModel,
  table: Pick<CalibrationTable, 'tensors' | 'equalization'>,
  options: QuantizeOptions,
): QuantizedModel {
  const source = { readModel: () => Promise.resolve(model), table, options };
  return applyPlan(planModel(model, table, options), source);
}

/** A prepared model and what shall be done to it. */
export interface PlannedModel {
  readonly prepared: OnnxModel;
  readonly plan: QuantizationPlan;
}

export function planModel(
  model: OnnxModel,
  table: Pick<CalibrationTable, 'tensors' | 'equalization'>,
  options: QuantizeOptions,
): PlannedModel {
  const prepared = prepareCalibrated(model, table);
  const scheme = schemeOf(options);
  return {
    prepared,
    plan: planQuantization(graphOf(prepared), table, scheme, options.excluded),
  };
}

/** Carries the plan out on `prepared`, in place. */
export function applyPlan(
  { prepared, plan: planned }: PlannedModel,
  source: QuantizedModel['source'],
): QuantizedModel {
  const { options } = source;
  const plan = withWeights(planned, graphOf(prepared), options.weights);
  if (options.target !== 'vnni') proveNoSaturation(plan);
  insertQdq(prepared, plan, options.corrections);
  poolByConvolution(prepared, options.target);
  if (options.firstConvolution === 'pad') padInputChannels(prepared, options.target);
  return { model: prepared, plan, source };
}

/** @throws InternalError when some input could saturate a sum of two products on AVX2. */
function proveNoSaturation({ layers }: QuantizationPlan<QuantizedLayer>): void {
  for (const { name, worstPairSum } of layers) {
    if (worstPairSum <= LARGEST_PAIR_SUM) continue;
    throw new InternalError(`layer "${name}" can sum two products to ${worstPairSum}`);
  }
}

/** The plan with the weights that `weights` gives by output tensor, the nearest for other layers. */
function withWeights(
  plan: QuantizationPlan,
  graph: OnnxGraph,
  weights: ReadonlyMap<string, QuantizedWeight> = new Map(),
): QuantizationPlan<QuantizedLayer> {
  const initializers = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  const layers = plan.layers.map((layer): QuantizedLayer => {
    const { channelCount, axis, bounds } = layer;
    const nearest = (): QuantizedWeight => {
      const values = viewFloats(initializers.get(layer.weightName)!); // planned from it
      return nearestWeight({ ...layer, values }, layer.scales, bounds);
    };
    const weight = weights.get(layer.outputTensor) ?? nearest();
    const worst = worstPairSum(weight.codes, channelCount, axis, bounds.meeting);
    return { ...layer, weight, worstPairSum: worst };
  });
  return { ...plan, layers };
}

function schemeOf({ weightRange, ...options }: QuantizeOptions): PlanScheme {
  const { granularity, target, firstConvolution } = options;
  return { range: weightRange, granularity, target, firstConvolution };
}
