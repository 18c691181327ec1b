import { stat } from 'node:fs/promises';
import { classifierSignature } from '../onnx/model-signature.ts';
import type { ImageSelection } from '../workers/run-image-batches.ts';
import { compareOutputs, firstInput } from './compare-models.ts';
import type { Fidelity } from './fidelity.ts';
import type { FloatNode } from './mark-graph.ts';
import type { MixedPrecision } from './mixed-precision.ts';
import { measureOperatorTimes, type OperatorTime } from './operator-times.ts';
import { readOptimizedGraph, type OptimizedGraph } from './optimized-graph.ts';
import { makeQuantizationReport } from './quantization-report.ts';
import type { QuantizationRun } from './run-quantization.ts';
import { plotTrade } from './trade-plot.ts';

export interface ReportQuantizationOptions {
  readonly run: QuantizationRun;
  readonly floatPath: string;
  /** The quantized model as it was written. */
  readonly quantizedPath: string;
  /** Images that were not calibrated on; without labels only agreement is measured. */
  readonly heldOut:
    (ImageSelection & { readonly labels?: readonly number[]; readonly shown: string }) | null;
  /** An image to measure the operators' times on; null: they are not measured. */
  readonly timedImages: ImageSelection | null;
  readonly biasCorrection: 'local' | 'none';
  /** `embedded`: the plot of the trade stands in the Markdown; else the path it will have. */
  readonly plotPath: string;
  readonly workerCount: number;
  readonly scratchPath: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

export const EMBEDDED = 'embedded';

export interface ReportedQuantization extends ReturnType<typeof makeQuantizationReport> {
  readonly fidelity: Fidelity | null;
  readonly optimized: OptimizedGraph;
  readonly operatorTimes: readonly OperatorTime[] | null;
  /** The plot as SVG; null without an accuracy budget. */
  readonly tradeSvg: string | null;
}

/** Compares a quantized model with its float model and explains it; both are files. */
export async function reportQuantization(
  options: ReportQuantizationOptions,
): Promise<ReportedQuantization> {
  const { run, floatPath, quantizedPath, heldOut, scratchPath, signal } = options;
  const { quantized, mixedPrecision } = run;
  const { outputName } = classifierSignature(quantized.model, quantizedPath);
  const fidelity =
    heldOut === null
      ? null
      : await compareOutputs({
          ...options,
          outputName,
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
      : await measureOperatorTimes(
          quantizedPath,
          await firstInput(quantizedPath, options.timedImages),
          scratchPath,
          signal,
        );
  const tradeSvg = mixedPrecision === null ? null : await plotTrade(mixedPrecision);
  const report = makeQuantizationReport({
    plan: quantized.plan,
    optimized,
    floatSizeBytes: (await stat(floatPath)).size,
    sizeBytes: (await stat(quantizedPath)).size,
    biasCorrection: options.biasCorrection,
    fidelity,
    comparedOn: heldOut?.shown ?? '',
    sensitivity: run.sensitivity,
    mixedPrecision,
    tradePlot: tradeSvg === null ? null : plotReference(tradeSvg, options.plotPath),
    operatorTimes,
    notes: notesOf(mixedPrecision),
  });
  return { ...report, fidelity, optimized, operatorTimes, tradeSvg };
}

/** What to tell when the budget could not be met, or null. */
export function budgetWarning(mixedPrecision: MixedPrecision | null): string | null {
  if (mixedPrecision === null || mixedPrecision.isWithinBudget) return null;
  const { budgetPoints, chosen } = mixedPrecision;
  return `the accuracy budget of ${budgetPoints} points cannot be met: the least drop of top-1 reached is ${chosen.dropPoints.toFixed(2)} points, with ${chosen.floatLayerCount} layers in float; that model was written`;
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
