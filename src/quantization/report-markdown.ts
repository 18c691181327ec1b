import type { Fidelity } from './fidelity.ts';
import type { FloatNode } from './mark-graph.ts';
import type { MixedPrecision } from './mixed-precision.ts';
import type { QuantizationReportInput } from './quantization-report.ts';

/** The report for people: what was gained, what was lost, where, and why something stayed float. */
export function reportMarkdown(input: QuantizationReportInput): string {
  const { optimized, floatSizeBytes, sizeBytes, biasCorrection, plan, fidelity } = input;
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(2);
  const ratio = (floatSizeBytes / sizeBytes).toFixed(2);
  return [
    '# Quantization',
    '',
    `Size ${megabytes(floatSizeBytes)} MB → ${megabytes(sizeBytes)} MB (${ratio} times smaller), ${plan.layers.length} layers in int8, bias correction: ${biasCorrection}.`,
    '',
    ...input.notes.flatMap((note) => [`> ${note}`, '']),
    ...fidelitySection(fidelity, input.comparedOn),
    ...tradeSection(input.mixedPrecision, input.tradePlot),
    ...operatorSection(input),
    '## Operators that stayed in float',
    '',
    ...floatRows(optimized.floatNodes),
    '',
    ...layerSection(input),
  ].join('\n');
}

function fidelitySection(fidelity: Fidelity | null, comparedOn: string): string[] {
  const title = ['## Fidelity to the float model', ''];
  if (fidelity === null) return [...title, 'Not measured: there were no images to compare on.', ''];
  const { accuracy } = fidelity;
  const percent = (fraction: number): string => `${(100 * fraction).toFixed(2)} %`;
  const rows = [
    ['top-1 agreement', percent(fidelity.agreementFraction)],
    ['KL divergence, mean (nats)', fidelity.klDivergence.toExponential(2)],
    ['SQNR of the outputs, pooled (dB)', decibels(fidelity.logitsSqnrDb)],
    ['SQNR of the outputs, mean over images (dB)', decibels(fidelity.logitsSqnrPerImageDb)],
    ...(accuracy === undefined
      ? []
      : [
          ['top-1 accuracy, float', percent(accuracy.floatTop1Fraction)],
          ['top-1 accuracy, quantized', percent(accuracy.top1Fraction)],
        ]),
  ];
  return [
    ...title,
    `On ${fidelity.imageCount} images that were not calibrated on (${comparedOn}).`,
    '',
    ...table(['measure', 'value'], rows, [1]),
    '',
  ];
}

function tradeSection(mixed: MixedPrecision | null, plot: string | null): string[] {
  if (mixed === null) return [];
  const { steps, chosen, budgetPoints, isWithinBudget } = mixed;
  const outcome = isWithinBudget
    ? `Met with ${chosen.floatLayerCount} layer(s) in float.`
    : `**Not met** while any layer runs in int8; the best reached is a drop of ${chosen.dropPoints.toFixed(2)} points with ${chosen.floatLayerCount} layer(s) in float.`;
  const rows = steps.map((step) => [
    step === chosen ? `**${step.floatLayerCount}**` : String(step.floatLayerCount),
    step.floatLayers.at(-1) ?? '(none)',
    (100 * (step.fidelity.accuracy?.top1Fraction ?? 0)).toFixed(2),
    step.dropPoints.toFixed(2),
    (100 * step.fidelity.agreementFraction).toFixed(2),
    decibels(step.fidelity.logitsSqnrDb),
    step.latencyMs.toFixed(2),
    (step.floatLatencyMs / step.latencyMs).toFixed(2),
    (step.sizeBytes / 1e6).toFixed(2),
  ]);
  return [
    '## Accuracy against latency',
    '',
    `Budget: ${budgetPoints} point(s) of top-1. ${outcome} Layers return to float, the most harmful first; latency is the median of one image on one thread, interleaved with the float model.`,
    '',
    ...table(
      [
        'float layers',
        'last returned',
        'top-1 %',
        'drop',
        'agreement %',
        'SQNR dB',
        'ms',
        'speed-up',
        'MB',
      ],
      rows,
      [0, 2, 3, 4, 5, 6, 7, 8],
    ),
    '',
    ...(plot === null ? [] : [`![Accuracy against latency](${plot})`, '']),
  ];
}

function operatorSection({ optimized, operatorTimes }: QuantizationReportInput): string[] {
  const title = ['## Operators as onnxruntime runs them', ''];
  if (operatorTimes === null) {
    const rows = Object.entries(optimized.operators).map(([name, count]) => [name, String(count)]);
    return [...title, ...table(['operator', 'count'], rows, [1]), ''];
  }
  const total = operatorTimes.reduce((sum, { ms }) => sum + ms, 0);
  const rows = operatorTimes.map(({ operator, count, ms }) => [
    operator,
    String(count),
    ms.toFixed(3),
    ((100 * ms) / total).toFixed(1),
  ]);
  return [
    ...title,
    'Times of one image on one thread: the fastest of 15 runs under onnxruntime’s profiler.',
    '',
    ...table(['operator', 'count', 'ms', '%'], rows, [1, 2, 3]),
    '',
  ];
}

function floatRows(nodes: readonly FloatNode[]): string[] {
  if (nodes.length === 0) return ['None.'];
  const rows = nodes.map(({ node, operator, reason }) => [node, operator, reason]);
  return table(['node', 'operator', 'reason'], rows, []);
}

function layerSection({ plan, sensitivity }: QuantizationReportInput): string[] {
  if (sensitivity === null) {
    const rows = plan.layers.map(({ name, weight }) => [name, decibels(finite(weight.sqnrDb))]);
    return [
      '## Signal to quantization noise of weights',
      '',
      ...table(['layer', 'dB'], rows, [1]),
      '',
    ];
  }
  const rows = sensitivity.layers.map((layer) => [
    layer.layer,
    layer.operator,
    decibels(layer.outputSqnrDb),
    layer.klDivergence.toExponential(1),
    (100 * layer.agreementFraction).toFixed(1),
    decibels(layer.weightSqnrDb),
    decibels(layer.inputSqnrDb),
  ]);
  const tensors = sensitivity.tensors.map(({ tensor, sqnrDb }) => [tensor, decibels(sqnrDb)]);
  return [
    '## Sensitivity',
    '',
    `The float network with one layer quantized at a time (its weights, input and corrected bias), on ${sensitivity.imageCount} calibration images; the most harmful layer first.`,
    '',
    ...table(
      ['layer', 'operator', 'output dB', 'KL', 'agreement %', 'weights dB', 'input dB'],
      rows,
      [2, 3, 4, 5, 6],
    ),
    '',
    '## Signal to quantization noise of activations',
    '',
    ...table(['tensor', 'dB'], tensors, [1]),
    '',
  ];
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

function decibels(value: number | null): string {
  return value?.toFixed(1) ?? 'exact';
}

function table(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  numberColumns: readonly number[],
): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.map(escaped).join(' | ')} |`;
  const rules = titles.map((_, column) => (numberColumns.includes(column) ? '---:' : '---'));
  return [line(titles), line(rules), ...rows.map(line)];
}

/** Names of nodes may hold what ends a cell. */
function escaped(cell: string): string {
  return cell.replaceAll('|', '\\|').replaceAll('\n', ' ');
}
