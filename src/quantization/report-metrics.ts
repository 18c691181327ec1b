import type { Fidelity } from './fidelity.ts';
import type { OutputForm } from './output-notes.ts';
import type { QuantizationReport } from './quantization-report.ts';
import type { Sensitivity } from './sensitivity.ts';

/** A report as the content of a metrics file: what tables may show first, the rest as details. */
export function reportMetrics(report: QuantizationReport) {
  const { sizeBytes, floatSizeBytes, fidelity, sensitivity, layers, mixedPrecision } = report;
  return {
    values: [
      metric('sizeBytes', sizeBytes, 'bytes', 'lower-is-better'),
      metric('floatSizeBytes', floatSizeBytes, 'bytes', 'neutral'),
      metric('sizeRatio', report.sizeRatio, 'ratio', 'higher-is-better'),
      metric('quantizedLayerCount', layers.length, '', 'neutral'),
      metric('floatOperatorCount', report.floatNodes.length, '', 'lower-is-better'),
      metric('biasCorrection', report.settings.biasCorrection, '', 'neutral'),
      metric('worstPairSum', report.worstPairSum.sum, '', 'neutral'),
      ...(fidelity === null ? [] : fidelityMetrics(fidelity, report.outputForm)),
    ],
    notes: [...report.notes],
    details: {
      settings: { ...report.settings },
      operators: { ...report.operators },
      floatOperators: report.floatNodes.map((node) => ({ ...node })),
      worstPairSum: { ...report.worstPairSum },
      layers: layers.map(({ layer, ...others }) => ({ node: layer, ...others })),
      comparedOn: report.comparedOn,
      ...(sensitivity === null ? {} : { sensitivity: sensitivityDetails(sensitivity) }),
      ...(mixedPrecision === null ? {} : { mixedPrecision: mixedPrecisionDetails(mixedPrecision) }),
      ...(report.operatorTimes === null
        ? {}
        : { operatorTimes: report.operatorTimes.map((time) => ({ ...time })) }),
    },
  };
}

type Unit = 'bytes' | 'ratio' | '' | 'fraction' | 'dB' | 'images';
type Direction = 'higher-is-better' | 'lower-is-better' | 'neutral';

/** A figure that is not finite is left out: the report's notes tell of it. */
function finiteMetric(
  name: string,
  value: number | null,
  unit: Unit,
  direction: Direction,
): ReturnType<typeof metric>[] {
  return value === null ? [] : [metric(name, value, unit, direction)];
}

function metric(name: string, value: number | string, unit: Unit, direction: Direction) {
  return { name, value, unit, direction };
}

/** `heldOut…`, so that no table takes them for the evaluation's figures on the test split. */
function fidelityMetrics(fidelity: Fidelity, form: OutputForm): ReturnType<typeof metric>[] {
  const { logitsSqnrDb, logitsSqnrPerImageDb, accuracy } = fidelity;
  const higher = 'higher-is-better';
  return [
    metric('heldOutImageCount', fidelity.imageCount, 'images', 'neutral'),
    ...(form === 'values'
      ? []
      : [
          metric('heldOutAgreementFraction', fidelity.agreementFraction, 'fraction', higher),
          ...finiteMetric('heldOutKlDivergence', fidelity.klDivergence, '', 'lower-is-better'),
        ]),
    ...finiteMetric('heldOutLogitsSqnrDb', logitsSqnrDb, 'dB', higher),
    ...finiteMetric('heldOutLogitsSqnrPerImageDb', logitsSqnrPerImageDb, 'dB', higher),
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

function mixedPrecisionDetails(mixed: NonNullable<QuantizationReport['mixedPrecision']>) {
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
      ...(fidelity.notFinite === undefined ? {} : { notFinite: { ...fidelity.notFinite } }),
    })),
  };
}
