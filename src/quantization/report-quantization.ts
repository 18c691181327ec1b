import { stat } from 'node:fs/promises';
import { productOf } from '../onnx/constant-value.ts';
import { modelBytes } from '../onnx/model-size.ts';
import { classifierSignature } from '../onnx/model-signature.ts';
import { graphOf } from '../onnx/model.ts';
import type { ImageSelection } from '../workers/run-image-batches.ts';
import { blameQuantized } from './blame-quantized.ts';
import { counted } from './counted.ts';
import { compareOutputs, firstInput } from './compare-models.ts';
import { floatWeightsNote } from './float-weights-note.ts';
import { notFiniteNotes } from './not-finite.ts';
import type { FloatNode } from './mark-graph.ts';
import type { MixedPrecision } from './mixed-precision.ts';
import { measureOperatorTimes } from './operator-times.ts';
import { readOptimizedGraph } from './optimized-graph.ts';
import {
  makeQuantizationReport,
  type GivenSettings,
  type QuantizationReport,
} from './quantization-report.ts';
import type { QuantizedModel } from './quantize-model.ts';
import { outputFormOf, outputNotes } from './output-notes.ts';
import { poorAgreementNote } from './poor-agreement-note.ts';
import { reportMarkdown } from './report-markdown.ts';
import type { QuantizationRun } from './run-quantization.ts';
import { plotTrade } from './trade-plot.ts';

export interface ReportQuantizationOptions {
  readonly run: QuantizationRun;
  readonly floatPath: string;
  /** The quantized model as it was written. */
  readonly quantizedPath: string;
  readonly heldOut: ComparedImages;
  /** An image to measure the operators' times on; null: they are not measured. */
  readonly timedImages: ImageSelection | null;
  readonly settings: GivenSettings;
  /** `embedded`: the plot of the trade stands in the Markdown; else the path it will have. */
  readonly plotPath: string;
  /** What else to tell beside the figures: of how the ranges were chosen. */
  readonly notes?: readonly string[];
  readonly workerCount: number;
  readonly scratchPath: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Images that were not calibrated on (without labels only agreement is measured), or why none. */
export type ComparedImages =
  | (ImageSelection & { readonly labels?: readonly number[]; readonly shown: string })
  | { readonly whyNone: string };

export const EMBEDDED = 'embedded';

export interface ReportedQuantization {
  readonly report: QuantizationReport;
  readonly markdown: string;
  /** The plot as SVG; null without an accuracy budget. */
  readonly tradeSvg: string | null;
}

/**
 * Compares a quantized model with its float model and explains it; both are files.
 * @throws OnnxError `quantize/unusable-model` where onnxruntime cannot run what was made
 */
export async function reportQuantization(
  options: ReportQuantizationOptions,
): Promise<ReportedQuantization> {
  return makeReport(options).catch((error: unknown) => {
    throw blameQuantized(error, options.quantizedPath);
  });
}

async function makeReport(options: ReportQuantizationOptions): Promise<ReportedQuantization> {
  const { run, floatPath, quantizedPath, heldOut, scratchPath, signal } = options;
  const { quantized, mixedPrecision } = run;
  const { outputName, scores } = classifierSignature(quantized.model, quantizedPath);
  const fidelity =
    'whyNone' in heldOut
      ? null
      : await compareOutputs({
          ...options,
          outputName,
          scores,
          images: heldOut,
          ...(heldOut.labels === undefined ? {} : { labels: heldOut.labels }),
        });
  const optimized = await readOptimizedGraph(
    quantizedPath,
    scratchPath,
    withReasons(quantized.plan.floatNodes, mixedPrecision),
  );
  const operatorTimes =
    options.timedImages === null
      ? null
      : await measureOperatorTimes({
          model: quantized.model,
          modelPath: quantizedPath,
          input: await firstInput(quantizedPath, options.timedImages),
          scratchPath,
          ...(signal === undefined ? {} : { signal }),
        });
  const tradeSvg = mixedPrecision === null ? null : await plotTrade(mixedPrecision);
  const outputForm = outputFormOf(quantized.model);
  const report = makeQuantizationReport({
    quantized,
    outputForm,
    settings: options.settings,
    optimized,
    floatSizeBytes: await floatBytes(floatPath, quantized),
    sizeBytes: (await stat(quantizedPath)).size,
    fidelity,
    comparedOn: 'whyNone' in heldOut ? heldOut.whyNone : heldOut.shown,
    sensitivity: run.sensitivity,
    mixedPrecision,
    operatorTimes,
    notes: [
      ...outputNotes(quantized.model),
      ...(options.notes ?? []),
      ...(fidelity === null ? [] : notFiniteNotes(fidelity)),
      ...(fidelity === null || outputForm === 'values' ? [] : poorAgreementNote(fidelity)),
      ...floatWeightsNote(quantized.model),
      ...notesOf(mixedPrecision),
    ],
  });
  const plot = tradeSvg === null ? null : plotReference(tradeSvg, options.plotPath);
  return { report, markdown: reportMarkdown(report, plot), tradeSvg };
}

/** A file smaller than the weights keeps them in others; it is read for their names. */
async function floatBytes(path: string, { plan, model }: QuantizedModel): Promise<number> {
  const { size } = await stat(path);
  const valueCount = plan.layers.reduce((sum, { weightDims }) => sum + productOf(weightDims), 0);
  const inFloat = graphOf(model).initializer.reduce((sum, { rawData }) => sum + rawData.length, 0);
  const least = Math.max(Float32Array.BYTES_PER_ELEMENT * valueCount, inFloat);
  return size < least ? await modelBytes(path) : size;
}

/** What to tell when the budget could not be met, or null. */
export function budgetWarning(mixedPrecision: MixedPrecision | null): string | null {
  if (mixedPrecision === null || mixedPrecision.isWithinBudget) return null;
  const { budgetPoints, chosen } = mixedPrecision;
  return `the accuracy budget of ${counted(budgetPoints, 'point')} cannot be met: the least drop of top-1 reached is ${chosen.dropPoints.toFixed(2)} points, with ${counted(chosen.floatLayerCount, 'layer')} in float; that model was written`;
}

function notesOf(mixedPrecision: MixedPrecision | null): string[] {
  if (mixedPrecision === null) return [];
  const warning = budgetWarning(mixedPrecision);
  const { imageCount } = mixedPrecision.chosen.fidelity;
  const grain = 100 / imageCount;
  return [
    ...(warning === null ? [] : [warning]),
    ...(mixedPrecision.budgetPoints < grain
      ? [
          `top-1 was measured on ${imageCount} images, one of which is ${grain.toFixed(2)} points: a finer budget than that allows no loss at all`,
        ]
      : []),
  ];
}

function withReasons(
  nodes: readonly FloatNode[],
  mixedPrecision: MixedPrecision | null,
): readonly FloatNode[] {
  const returned = new Set(mixedPrecision?.chosen.floatLayers);
  return nodes.map((node) =>
    returned.has(node.node)
      ? { ...node, reason: 'it returned to float for the accuracy budget' }
      : node,
  );
}

function plotReference(svg: string, plotPath: string): string {
  if (plotPath !== EMBEDDED) return plotPath;
  return `data:image/svg+xml;base64,${Buffer.from(svg).toString('base64')}`;
}
