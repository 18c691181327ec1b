import { counted } from './counted.ts';
import { decibelsText, notFiniteText } from './not-finite.ts';
import type { QuantizationReport } from './quantization-report.ts';
import { sizeChange } from './size-change.ts';

/**
 * The report for people: what was gained, what was lost, where, and why something stayed float.
 * `tradePlot` is how it refers to the plot of the trade: a relative path or a data URI.
 */
export function reportMarkdown(report: QuantizationReport, tradePlot: string | null): string {
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(2);
  const { settings } = report;
  return [
    '# Quantization',
    '',
    `Size ${megabytes(report.floatSizeBytes)} MB → ${megabytes(report.sizeBytes)} MB (${sizeChange(report.sizeRatio)}), ${report.layers.length} layers in int8, bias correction: ${settings.biasCorrection}.`,
    '',
    ...report.notes.flatMap((note) => [`> ${note}`, '']),
    ...fidelitySection(report),
    ...settingsSection(report),
    ...tradeSection(report.mixedPrecision, tradePlot),
    ...operatorSection(report),
    '## Operators that stayed in float',
    '',
    ...floatRows(report),
    '',
    ...layerSection(report),
    ...sensitivitySection(report),
  ].join('\n');
}

function fidelitySection({ fidelity, comparedOn, outputForm }: QuantizationReport): string[] {
  const title = ['## Fidelity to the float model', ''];
  if (fidelity === null) return [...title, `Not measured: ${comparedOn}.`, ''];
  const { accuracy, klDivergence } = fidelity;
  const notFinite = notFiniteText(fidelity);
  const percent = (fraction: number): string => `${(100 * fraction).toFixed(2)} %`;
  const rows = [
    ...(outputForm === 'values'
      ? []
      : [
          ['top-1 agreement', percent(fidelity.agreementFraction)],
          ['KL divergence, mean (nats)', klDivergence?.toExponential(2) ?? notFinite ?? NOT_FINITE],
        ]),
    ['SQNR of the outputs, pooled (dB)', decibelsText(fidelity.logitsSqnrDb, notFinite)],
    [
      'SQNR of the outputs, mean over images (dB)',
      decibelsText(fidelity.logitsSqnrPerImageDb, notFinite),
    ],
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

function settingsSection({ settings, worstPairSum }: QuantizationReport): string[] {
  const rows = [
    ['target', settings.target],
    ['calibration images', String(settings.calibrationImageCount)],
    ['ranges of activations', settings.calibrationMethod],
    ['equalization of channels', settings.equalization],
    ['rounding of weights', settings.rounding],
    ['range of weights', settings.weightRange],
    ['scales of weights', settings.granularity],
    ['bias correction', settings.biasCorrection],
    ['input of the model', settings.inputType],
  ];
  return [
    '## How it was quantized',
    '',
    ...table(['setting', 'value'], rows, []),
    '',
    pairSumText(worstPairSum, settings.target),
    '',
  ];
}

function pairSumText(
  { sum, layer, limit, fits }: QuantizationReport['worstPairSum'],
  target: string,
): string {
  if (layer === null) return 'No layer runs in integers, so no sum can saturate.';
  const where = `${grouped(sum)} (layer \`${layer.replaceAll('\n', ' ')}\`)`;
  return fits
    ? `Largest sum of two products that a CPU without VNNI adds in 16 bits, over all inputs: ${where}; 16 bits hold ${grouped(limit)}, so it never saturates. This follows from the weights, for target ${target}.`
    : `Largest sum of two products, over all inputs: ${where}. Target ${target} does not bound it: a CPU without VNNI adds two products in 16 bits, which hold ${grouped(limit)}, and may saturate; target avx2 is right there too.`;
}

/** 32767 → `32,767`, whatever the locale. */
function grouped(value: number): string {
  return String(value).replaceAll(/\B(?=(\d{3})+$)/g, ',');
}

function tradeSection(mixed: QuantizationReport['mixedPrecision'], plot: string | null): string[] {
  if (mixed === null) return [];
  const { steps, chosen, budgetPoints, isWithinBudget } = mixed;
  const outcome = isWithinBudget
    ? `Met with ${counted(chosen.floatLayerCount, 'layer')} in float.`
    : `**Not met** while any layer runs in int8; the best reached is a drop of ${chosen.dropPoints.toFixed(2)} points with ${counted(chosen.floatLayerCount, 'layer')} in float.`;
  const rows = steps.map((step) => [
    step === chosen ? `**${step.floatLayerCount}**` : String(step.floatLayerCount),
    step.floatLayers.at(-1) ?? '(none)',
    (100 * (step.fidelity.accuracy?.top1Fraction ?? 0)).toFixed(2),
    step.dropPoints.toFixed(2),
    (100 * step.fidelity.agreementFraction).toFixed(2),
    decibelsText(step.fidelity.logitsSqnrDb, notFiniteText(step.fidelity)),
    step.latencyMs.toFixed(2),
    (step.floatLatencyMs / step.latencyMs).toFixed(2),
    (step.sizeBytes / 1e6).toFixed(2),
  ]);
  return [
    '## Accuracy against latency',
    '',
    `Budget: ${counted(budgetPoints, 'point')} of top-1. ${outcome} Layers return to float, the most harmful first, and with a layer whose input is what harms those that make it; latency is the median of one image on one thread, interleaved with the float model.`,
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

function operatorSection({ operators, operatorTimes }: QuantizationReport): string[] {
  const title = ['## Operators as onnxruntime runs them', ''];
  if (operatorTimes === null) {
    const rows = Object.entries(operators).map(([name, count]) => [name, String(count)]);
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

function floatRows({ floatNodes: nodes }: QuantizationReport): string[] {
  if (nodes.length === 0) return ['None.'];
  const rows = nodes.map(({ node, operator, reason }) => [node, operator, reason]);
  return table(['node', 'operator', 'reason'], rows, []);
}

function layerSection({ layers }: QuantizationReport): string[] {
  const rows = layers.map((layer) => [
    layer.layer,
    layer.operator,
    String(layer.channelCount),
    decibelsText(layer.weightSqnrDb),
    grouped(layer.worstPairSum),
  ]);
  return [
    '## Layers in int8',
    '',
    'With the signal to quantization noise of the weights.',
    '',
    ...table(['layer', 'operator', 'channels', 'weights dB', 'largest pair sum'], rows, [2, 3, 4]),
    '',
  ];
}

function sensitivitySection({ sensitivity }: QuantizationReport): string[] {
  if (sensitivity === null) return [];
  const isLeftKnown = sensitivity.layers.some(({ leftFraction }) => leftFraction !== undefined);
  const rows = sensitivity.layers.map((layer) => [
    layer.layer,
    layer.operator,
    decibelsText(layer.outputSqnrDb, layer.isFinite === false ? NOT_FINITE : null),
    layer.klDivergence?.toExponential(1) ?? NOT_FINITE,
    (100 * layer.agreementFraction).toFixed(1),
    decibelsText(layer.weightSqnrDb),
    decibelsText(layer.inputSqnrDb),
    ...(isLeftKnown ? [(100 * (layer.leftFraction ?? 0)).toFixed(1)] : []),
  ]);
  const tensors = sensitivity.tensors.map(({ tensor, sqnrDb }) => [tensor, decibelsText(sqnrDb)]);
  return [
    '## Sensitivity',
    '',
    `The float network with one layer quantized at a time (its weights, input and corrected bias), on ${sensitivity.imageCount} calibration images; the most harmful layer first.${isLeftKnown ? LEFT : ''}`,
    '',
    ...table(
      [
        ...['layer', 'operator', 'output dB', 'KL', 'agreement %', 'weights dB', 'input dB'],
        ...(isLeftKnown ? ['left in float %'] : []),
      ],
      rows,
      [2, 3, 4, 5, 6, 7],
    ),
    '',
    '## Signal to quantization noise of activations',
    '',
    ...table(['tensor', 'dB'], tensors, [1]),
    '',
  ];
}

const LEFT =
  ' Left in float: the share of that noise that the layer would keep in float, for what is still rounded of its input.';

const NOT_FINITE = 'not finite';

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
