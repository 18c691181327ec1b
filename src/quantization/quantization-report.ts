import type { Fidelity } from './fidelity.ts';
import type { MixedPrecision } from './mixed-precision.ts';
import type { OperatorTime } from './operator-times.ts';
import type { OptimizedGraph } from './optimized-graph.ts';
import type { QuantizationPlan, QuantizedLayer } from './quantization-plan.ts';
import { reportMarkdown } from './report-markdown.ts';
import type { Sensitivity } from './sensitivity.ts';

export interface QuantizationReportInput {
  readonly plan: QuantizationPlan<QuantizedLayer>;
  readonly optimized: OptimizedGraph;
  readonly floatSizeBytes: number;
  readonly sizeBytes: number;
  readonly biasCorrection: 'local' | 'none';
  /** Null when there were no images to compare on; `comparedOn` says which images it is of. */
  readonly fidelity: Fidelity | null;
  readonly comparedOn: string;
  readonly sensitivity: Sensitivity | null;
  readonly mixedPrecision: MixedPrecision | null;
  /** How the Markdown refers to the plot of the trade: a relative path or a data URI. */
  readonly tradePlot: string | null;
  /** Null when times were not measured. */
  readonly operatorTimes: readonly OperatorTime[] | null;
  readonly notes: readonly string[];
}

/** What a quantization did and how close its result is, as metrics and as Markdown. */
export function makeQuantizationReport(input: QuantizationReportInput) {
  const { plan, optimized, floatSizeBytes, sizeBytes, fidelity, sensitivity } = input;
  const layers = plan.layers.map(({ name, weight, worstPairSum }) => ({
    node: name,
    // JSON has no infinity; null means that no weight was rounded.
    weightSqnrDb: Number.isFinite(weight.sqnrDb) ? weight.sqnrDb : null,
    worstPairSum,
  }));
  const floatOperators = optimized.floatNodes.map((node) => ({ ...node }));
  const metrics = {
    values: [
      metric('sizeBytes', sizeBytes, 'bytes', 'lower-is-better'),
      metric('floatSizeBytes', floatSizeBytes, 'bytes', 'neutral'),
      metric('sizeRatio', floatSizeBytes / sizeBytes, 'ratio', 'higher-is-better'),
      metric('quantizedLayerCount', plan.layers.length, '', 'neutral'),
      metric('floatOperatorCount', floatOperators.length, '', 'lower-is-better'),
      metric('biasCorrection', input.biasCorrection, '', 'neutral'),
      // Up to 32,767 no CPU saturates, whatever the input.
      metric(
        'worstPairSum',
        Math.max(0, ...layers.map((layer) => layer.worstPairSum)),
        '',
        'neutral',
      ),
      ...(fidelity === null ? [] : fidelityMetrics(fidelity)),
    ],
    notes: [...input.notes],
    details: {
      operators: { ...optimized.operators },
      floatOperators,
      layers,
      ...(fidelity === null ? {} : { comparedOn: input.comparedOn }),
      ...(sensitivity === null ? {} : { sensitivity: sensitivityDetails(sensitivity) }),
      ...(input.mixedPrecision === null
        ? {}
        : { mixedPrecision: mixedPrecisionDetails(input.mixedPrecision) }),
      ...(input.operatorTimes === null
        ? {}
        : { operatorTimes: input.operatorTimes.map((time) => ({ ...time })) }),
    },
  };
  return { metrics, markdown: reportMarkdown(input) };
}

type Unit = 'bytes' | 'ratio' | '' | 'fraction' | 'dB' | 'images';
type Direction = 'higher-is-better' | 'lower-is-better' | 'neutral';

function metric(name: string, value: number | string, unit: Unit, direction: Direction) {
  return { name, value, unit, direction };
}

/** `heldOut…`, so that no table takes them for the evaluation's figures on the test split. */
function fidelityMetrics(fidelity: Fidelity): ReturnType<typeof metric>[] {
  const { logitsSqnrDb, logitsSqnrPerImageDb, accuracy } = fidelity;
  const higher = 'higher-is-better';
  return [
    metric('heldOutImageCount', fidelity.imageCount, 'images', 'neutral'),
    metric('heldOutAgreementFraction', fidelity.agreementFraction, 'fraction', higher),
    metric('heldOutKlDivergence', fidelity.klDivergence, '', 'lower-is-better'),
    ...(logitsSqnrDb === null ? [] : [metric('heldOutLogitsSqnrDb', logitsSqnrDb, 'dB', higher)]),
    ...(logitsSqnrPerImageDb === null
      ? []
      : [metric('heldOutLogitsSqnrPerImageDb', logitsSqnrPerImageDb, 'dB', higher)]),
    ...(accuracy === undefined
      ? []
      : [
          metric('heldOutTop1Fraction', accuracy.top1Fraction, 'fraction', higher),
          metric('heldOutFloatTop1Fraction', accuracy.floatTop1Fraction, 'fraction', 'neutral'),
        ]),
  ];
}

function sensitivityDetails({ imageCount, layers, tensors }: Sensitivity) {
  return {
    imageCount,
    layers: layers.map((layer) => ({ ...layer })),
    tensors: tensors.map((tensor) => ({ ...tensor })),
  };
}

function mixedPrecisionDetails(mixed: MixedPrecision) {
  return {
    budgetPoints: mixed.budgetPoints,
    isWithinBudget: mixed.isWithinBudget,
    floatLayers: [...mixed.chosen.floatLayers],
    steps: mixed.steps.map(({ fidelity, floatLayers, ...step }) => ({
      ...step,
      floatLayers: [...floatLayers],
      top1Fraction: fidelity.accuracy?.top1Fraction ?? null,
      agreementFraction: fidelity.agreementFraction,
      klDivergence: fidelity.klDivergence,
      logitsSqnrDb: fidelity.logitsSqnrDb,
    })),
  };
}
