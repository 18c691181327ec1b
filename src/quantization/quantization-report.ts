import type { Equalization, Rounding, BiasCorrection, InputType, Target } from './choices.ts';
import type { Granularity, WeightRange } from './choices.ts';
import { LARGEST_PAIR_SUM } from './code-bounds.ts';
import type { Fidelity } from './fidelity.ts';
import type { OutputForm } from './output-notes.ts';
import type { FloatNode } from './mark-graph.ts';
import type { MixedPrecision } from './mixed-precision.ts';
import type { OperatorTime } from './operator-times.ts';
import type { OptimizedGraph } from './optimized-graph.ts';
import type { QuantizedLayer } from './quantization-plan.ts';
import type { QuantizedModel } from './quantize-model.ts';
import type { Sensitivity } from './sensitivity.ts';

/** How a model was quantized: what was asked for, or chosen where that was left open. */
export interface QuantizationSettings {
  readonly target: Target;
  /** How the ranges of activations were chosen, such as `auto (mse)`. */
  readonly calibrationMethod: string;
  readonly calibrationImageCount: number;
  readonly granularity: Granularity;
  readonly weightRange: WeightRange;
  readonly rounding: Rounding;
  readonly biasCorrection: BiasCorrection;
  readonly equalization: Equalization;
  readonly inputType: InputType;
}

/** One layer that runs in integers. */
export interface LayerReport {
  readonly layer: string;
  readonly operator: string;
  readonly channelCount: number;
  /** Of its weights; null where none was rounded, since JSON has no infinity. */
  readonly weightSqnrDb: number | null;
  /** See `worstPairSum`. */
  readonly worstPairSum: number;
}

/** The largest sum of two products that are added first, over all inputs: a proof, no measurement. */
export interface PairSumProof {
  readonly sum: number;
  /** Where it is; null without any layer in integers. */
  readonly layer: string | null;
  /** What 16 bits hold: up to it no CPU saturates, whatever the input. */
  readonly limit: number;
  readonly fits: boolean;
}

/** What a quantization did and how close its result is; plain data, which JSON keeps as it is. */
export interface QuantizationReport {
  readonly settings: QuantizationSettings;
  readonly floatSizeBytes: number;
  readonly sizeBytes: number;
  readonly sizeRatio: number;
  /** Of the first output; with `values` there are no classes to agree on, whatever `fidelity` counts. */
  readonly outputForm: OutputForm;
  /** Null when there were no images to compare on. */
  readonly fidelity: Fidelity | null;
  /** Which images fidelity was measured on; why it was not, where it is null. */
  readonly comparedOn: string;
  readonly worstPairSum: PairSumProof;
  /** All in integers, in graph order. */
  readonly layers: readonly LayerReport[];
  /** What runs in float, and why. */
  readonly floatNodes: readonly FloatNode[];
  /** Operator as onnxruntime runs it, without its domain → count. */
  readonly operators: Readonly<Record<string, number>>;
  /** The costliest first; null when times were not measured. */
  readonly operatorTimes: readonly OperatorTime[] | null;
  /** Null unless it was asked for. */
  readonly sensitivity: Sensitivity | null;
  /** Null without an accuracy budget. */
  readonly mixedPrecision: Omit<MixedPrecision, 'quantized'> | null;
  readonly notes: readonly string[];
}

export interface QuantizationReportInput
  extends
    Pick<QuantizationReport, 'floatSizeBytes' | 'sizeBytes' | 'fidelity' | 'comparedOn'>,
    Pick<QuantizationReport, 'sensitivity' | 'operatorTimes' | 'notes' | 'outputForm'> {
  readonly quantized: Pick<QuantizedModel, 'plan' | 'source'>;
  readonly mixedPrecision: MixedPrecision | null;
  readonly optimized: OptimizedGraph;
  readonly settings: GivenSettings;
}

/** What the quantized model itself does not tell. */
export type GivenSettings = Pick<
  QuantizationSettings,
  'calibrationMethod' | 'calibrationImageCount' | 'rounding' | 'biasCorrection' | 'inputType'
>;

/** The report of what was measured. */
export function makeQuantizationReport(input: QuantizationReportInput): QuantizationReport {
  const { quantized, optimized, mixedPrecision, settings, ...measured } = input;
  const { options, table } = quantized.source;
  const layers = quantized.plan.layers.map(reportLayer);
  return {
    ...measured,
    settings: {
      ...settings,
      target: options.target,
      granularity: options.granularity,
      weightRange: options.weightRange,
      equalization: table.equalization?.method ?? 'none',
    },
    sizeRatio: input.floatSizeBytes / input.sizeBytes,
    worstPairSum: proofOf(layers),
    layers,
    floatNodes: optimized.floatNodes,
    operators: withoutDomains(optimized.operators),
    mixedPrecision: mixedPrecision === null ? null : withoutModel(mixedPrecision),
  };
}

/** As times call them: onnxruntime’s profiler does not tell domains. */
function withoutDomains(operators: OptimizedGraph['operators']): Record<string, number> {
  const counts = new Map<string, number>();
  for (const [name, count] of Object.entries(operators)) {
    const plain = name.slice(name.lastIndexOf('.') + 1);
    counts.set(plain, (counts.get(plain) ?? 0) + count);
  }
  return Object.fromEntries([...counts].sort(([, a], [, b]) => b - a));
}

function reportLayer({ name, node, channelCount, weight, worstPairSum }: QuantizedLayer) {
  return {
    layer: name,
    operator: node.opType,
    channelCount,
    weightSqnrDb: Number.isFinite(weight.sqnrDb) ? weight.sqnrDb : null,
    worstPairSum,
  } satisfies LayerReport;
}

function proofOf(layers: readonly LayerReport[]): PairSumProof {
  const sum = Math.max(0, ...layers.map(({ worstPairSum }) => worstPairSum));
  const layer = layers.find(({ worstPairSum }) => worstPairSum === sum)?.layer ?? null;
  return { sum, layer, limit: LARGEST_PAIR_SUM, fits: sum <= LARGEST_PAIR_SUM };
}

function withoutModel({ steps, chosen, budgetPoints, isWithinBudget }: MixedPrecision) {
  return { steps, chosen, budgetPoints, isWithinBudget };
}
